import pickle, sys
attempt(__import__, "marshal")
attempt(pickle.loads, b"cmarshal\nloads\n(C\x01ctR.")
attempt(pickle.loads, b"ctypes\nCodeType\n(I0\nI0\nI0\nI0\nI1\nI0\nC\x02\x54\xff)))Vx\nVx\nVx\nI1\nC\0C\0tR.")
