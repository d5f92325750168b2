"""Functions that run in a cell each time they are called."""

import statistics

import pyisolate as iso

PRECISION = 3


def rounded(x):
    return round(x, PRECISION)


@iso.sandbox(allowed_imports=["statistics"], timeout="30s", memory="64MiB")
def spread(numbers, scale=1.0):
    """Uses a module, a global, another function and a default: all of it goes along."""
    return rounded(statistics.pstdev(numbers) * scale)


@iso.sandbox(timeout="500ms")
def endless():
    while True:
        pass


@iso.sandbox
def curious():
    return open("/etc/passwd").read()


print(spread([1, 2, 3, 4]))
print(spread([1, 2, 3, 4], scale=10))
for function in (endless, curious):
    try:
        function()
    except iso.PyIsolateError as error:
        print(f"{function.__name__}: {error.kind}")

# Output:
# 1.118
# 11.18
# endless: Timeout
# curious: PolicyDenied
