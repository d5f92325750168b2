import io, unittest
from unittest import mock
class T(unittest.TestCase):
    def test_ok(self):
        self.assertEqual(1, 1)
    def test_mock(self):
        m = mock.Mock(return_value=3)
        self.assertEqual(m(1, a=2), 3)
        m.assert_called_once_with(1, a=2)
    def test_bad(self):
        with self.subTest(n=1):
            self.assertIn(3, [1, 2])
    @unittest.skip("later")
    def test_skip(self):
        pass
suite = unittest.defaultTestLoader.loadTestsFromTestCase(T)
out = io.StringIO()
r = unittest.TextTestRunner(out, verbosity=2).run(suite)
print(r.testsRun, len(r.failures), len(r.skipped), "AssertionError: 3 not found" in out.getvalue())
