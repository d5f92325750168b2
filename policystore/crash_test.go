package policystore

const crashDirEnv = "PYISOLATE_TEST_POLICYSTORE_CRASH"

func crashChild(string) int { return 0 }
