import secrets, uuid, ipaddress
print(uuid.uuid5(uuid.NAMESPACE_DNS, "python.org"), uuid.UUID(int=5).hex, uuid.uuid4().version, uuid.uuid7().version)
print(len(secrets.token_hex(8)), secrets.compare_digest("a", "a"), secrets.choice([1]), ipaddress.ip_network("10.0.0.0/30").num_addresses, ipaddress.ip_address("::1").is_loopback)
