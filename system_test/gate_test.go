package systemtest

import (
	"errors"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// Ways to a module that is not granted, or to what was removed. Each program
// posts 'through' if it gets there.
func TestWaysAroundTheGate(t *testing.T) {
	const importer = "import sys, json\nI = [c for c in object.__subclasses__() if c.__name__ == 'BuiltinImporter' and hasattr(c, 'create_module')][0]\n"
	ways := map[string]string{
		"import":               "import os",
		"from":                 "from os import system",
		"__import__":           "__import__('os')",
		"builtins":             "import builtins\nbuiltins.__import__('os')",
		"importlib":            "import importlib\nimportlib.import_module('os')",
		"importlib loaded":     "import importlib\nimportlib.import_module('posix')",
		"importlib import":     "import importlib\nimportlib.__import__('subprocess')",
		"posed globals":        "exec('import os', {'__name__': 'json', '__builtins__': __builtins__})",
		"posed file":           "exec(compile('import os', '<frozen os>', 'exec'))",
		"posed library file":   "import json\nexec(compile('import os', json.__file__, 'exec'))",
		"posed support":        "exec(compile('import os', '<pyisolate>', 'exec'))",
		"borrowed globals":     "import json\nexec('import os', json.__dict__)",
		"renamed code":         "import json\ndef f():\n import os\nf.__code__ = f.__code__.replace(co_filename=json.__file__)\nf()",
		"renamed in place":     "import sys\ndef f():\n import posix\nsys.modules['_imp']._fix_co_filename(f.__code__, '<frozen os>')\nf()",
		"renamed within":       "import json, sys\ndef f():\n def g():\n  import posix\n g()\nsys.modules['_imp']._fix_co_filename(f.__code__, json.__file__)\nf()",
		"deputy pickle":        "import pickle\npickle.loads(b'cos\\nsystem\\n.')",
		"deputy C pickle":      "import pickle\npickle.loads(b\"cposix\\nsystem\\n(S'true'\\ntR.\")",
		"load_module":          importer + "I.load_module('_posixsubprocess')",
		"create_module":        importer + "import types\nI.create_module(types.SimpleNamespace(name='_ctypes'))",
		"create _imp":          importer + "S = type(sys.implementation)\nI.create_module(S(name='_imp')).create_builtin(S(name='_ctypes')).dlopen",
		"create two names":     importer + "class S:\n names = ['json'] + ['_ctypes'] * 9\n name = property(lambda s: s.names.pop(0))\nsys.modules['_imp'].create_builtin(S()).dlopen",
		"create dotted":        "import json, sys\nS = type(sys.implementation)\nimp = sys.modules['_imp']\nimp.create_dynamic(S(name='json._dbm', origin=json.__file__[:-16] + 'lib-dynload/_dbm' + imp.extension_suffixes()[0]))",
		"loader executes":      "import json\nm = type(json)('sqlite3')\ntype(json.__spec__.loader)('sqlite3', json.__file__.replace('json', 'sqlite3')).exec_module(m)",
		"loader executes anew": "import json\nm = type(json)('wave')\ntype(json.__spec__.loader)('wave', json.__file__.replace('json/__init__', 'wave')).exec_module(m)",
		"loader compiles, too": "import json\nf = json.__file__.replace('json/__init__', 'wave')\nL = json.__spec__.loader\nL.source_to_code(L.get_data(f), f)",
		"frozen module":        "import sys, json\nsys.modules['_imp'].get_frozen_object('runpy')",
		"relative":             "exec('from . import path', {'__package__': 'os', '__name__': 'x', '__builtins__': __builtins__})",
		"never":                "import _interpreters",
		"never by library":     "import ctypes",
		"concurrent":           "import concurrent.interpreters",
		"marshal":              "import marshal",
		"posix":                "import posix",
		"frames":               "import sys\nsys._getframe()",
		"other frames":         "import sys\nsys._current_frames()",
		"remote exec":          "import sys\nsys.remote_exec(1, 'x')",
		"reach _exit":          "import random\nrandom._os._exit(3)",
		"reach system":         "import random\nrandom._os.system('true')",
		"reach fork":           "import random\nrandom._os.fork()",
		"reach listdir":        "import random\nrandom._os.listdir('/etc')",
		"reach open":           "import random\nrandom._os.open('/etc/passwd', 0)",
		"reach kill":           "import random\nrandom._os.kill(1, 0)",
		"open":                 "open('/etc/passwd')",
		"open dots":            "import json\nopen(json.__file__ + '/../../../../../../../../etc/passwd')",
		"write library":        "import json\nopen(json.__file__, 'a')",
		"descriptor":           "open(3, 'rb')",
		"io.FileIO":            "import io\nio.FileIO('/etc/passwd')",
		"socket":               "import sys\nsys.modules.get('_socket') or __import__('socket')",
		"map a file":           "import mmap\nmmap.mmap(0, 1)",
		"deputy makes code":    "import sys\nT = type((lambda: 0).__code__)\nsys.stdout.writelines(map(T, [0], [0], [0], [0], [0], [0], [b''], [()], [()], [()], [''], [''], [''], [0], [b''], [b'']))",
		"deputy compiles":      "import sys\nsys.stdout.writelines(map(compile, ['1'], ['<pyisolate>'], ['exec']))",
		"loader compiles":      "import json\njson.__spec__.loader.source_to_code(b'1', json.__file__)",
		"loader poses":         "import json\njson.__spec__.loader.source_to_code(b'1', '<pyisolate>')",
		"importlib unmarshals": "import sys, json\nsys.modules['_frozen_importlib_external']._compile_bytecode(b'i\\x07\\x00\\x00\\x00')",
		"frozen importer":      "import sys, json\nsys.modules['_imp'].get_frozen_object('os', b'i\\x07\\x00\\x00\\x00')",
		"coroutine makes code": "import types\nfrom functools import partial\n" +
			"class C:\n __class__ = types.CodeType\n co_flags = 0x20\n def __init__(s, r): s.replace = r\n" +
			"class F:\n __class__ = types.FunctionType\n def __init__(s, r): s.__code__ = C(r)\n def __call__(s): pass\n" +
			"def f(): return 1\n" +
			"types.coroutine(F(partial(f.__code__.replace, co_code=bytes([0x80, 0]), co_stacksize=2)))",
		"coroutine sets code": "import types, itertools, operator\nfrom functools import partial\nmade = []\ndef gen(): yield 1\n" +
			"m = map(made.append, itertools.islice(iter(partial(gen.__code__.replace, co_stacksize=0), None), 1))\n" +
			"class Code:\n def __get__(s, o, t=None): return gen.__code__\n __set__ = staticmethod(operator.contains)\n" +
			"class F:\n __class__ = types.FunctionType\n __code__ = Code()\n __iter__ = staticmethod(m.__iter__)\n def __call__(s): pass\n" +
			"types.coroutine(F())",
		"deputy unmarshals": "import sys, json\nclass F:\n def __init__(s): s.data = b'i\\x07\\x00\\x00\\x00'\n def read(s, n): return b''\n" +
			" def readinto(s, b):\n  b[:], s.data = s.data[:len(b)], s.data[len(b):]\n  return len(b)\n" +
			"sys.stdout.writelines(map(str, map(sys.modules['marshal'].load, [F()])))",
		"own code":          "c = (lambda: 0).__code__\ntype(c)(0,0,0,0,0,0,b'',(),(),(),'','','',0,b'',b'')",
		"setswitchinterval": "import sys\nsys.setswitchinterval(1)",
		"clock of nowhere":  "import time\ntime.pthread_getcpuclockid(8 << 40)",
		"text domain":       "import locale\nlocale.textdomain('of all cells')",
	}
	imports := []string{"importlib", "json", "pickle", "types", "sys", "random", "io", "mmap", "functools", "itertools", "operator", "time", "locale"}
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for name, way := range ways {
			if b == cell.Process && (name == "descriptor" || name == "setswitchinterval") {
				continue // its own descriptors and process
			}
			c := spawn(t, l, cell.Spec{Backend: b, Imports: imports})
			err := c.Exec(soon(t), source("%s\npost('through')", way))
			var e *cell.Error
			if !errors.As(err, &e) || (e.Kind != cell.PolicyDenied && e.Type != "ImportError" && e.Type != "ModuleNotFoundError" && e.Type != "AttributeError") {
				t.Errorf("%s: ends with %v", name, err)
			}
			if err := c.Close(soon(t)); err != nil {
				t.Errorf("%s: close: %v", name, err)
			}
		}
	})
}

// A file that is no module of the library's is not even opened, under whatever name.
func TestNativeModulesAreTheLibrarys(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"sys", "json"}})
		got := posts(t, c, `import sys, json
S = type(sys.implementation)
sys.modules["_imp"].exec_builtin(S(__name__="sys"))
class Changing:
    name = "json"
    origins = [json.__file__] + ["/proc/self/exe"] * 9
    origin = property(lambda s: s.origins.pop(0))
for spec in (S(name="json", origin="/proc/self/exe"), S(name="json", origin=json.__file__ + "/../../../../bin/python3"), Changing()):
    try: sys.modules["_imp"].create_dynamic(spec)
    except ImportError as e: post(str(e).replace(json.__file__, "json"))`)
		const denied = `/proc/self/exe is not allowed by the policy of this cell"`
		if len(got) != 3 || got[0] != `"import: `+denied || !strings.Contains(got[1], "is not allowed") || !strings.Contains(got[2], "json: ") {
			t.Errorf("posted %q", got)
		}
	})
}

// What is granted works, with all it needs inside.
func TestGrantedImportsWork(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"random", "time", "datetime", "xml.etree", "asyncio", "bz2"}})
		got := posts(t, c, strings.Join([]string{
			"import random, time, datetime, asyncio",
			"import xml.etree.ElementTree as E",
			"post(E.fromstring('<a><b/></a>')[0].tag)",
			"post(time.strptime('2026', '%Y').tm_year)", // imports _strptime from C
			"post('x'.encode('utf-16-le').hex())",       // a codec that is not loaded yet
			"async def f(): await asyncio.sleep(0); return 5",
			"post(asyncio.run(f()))",
			"try: import os\nexcept ImportError as e: post(type(e).__name__)",
			"post(f'{1:{2}}')",
			"import bz2\npost(len(bz2.compress(b'')))", // names only compression's submodules
			"m = type(E)(E.__name__)\nE.__spec__.loader.exec_module(m)\npost(m.fromstring('<c/>').tag)",
		}, "\n"))
		if want := `"b" 2026 "7800" 5 "ImportDenied" " 1" 14 "c"`; strings.Join(got, " ") != want {
			t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
		}
		if err := c.Exec(soon(t), source("import xml.dom.minidom")); !errors.Is(err, cell.PolicyDenied) {
			t.Errorf("the sibling of a granted package: %v", err)
		}
	})
}

func TestCellsOfOneZygoteDiffer(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		seen := map[string]bool{}
		for range 5 {
			c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"random", "secrets", "uuid"}})
			for _, v := range posts(t, c, "import random, secrets, uuid\npost(random.random())\npost(secrets.token_hex())\npost(str(uuid.uuid4()))") {
				if seen[v] {
					t.Errorf("two cells made the same random %s", v)
				}
				seen[v] = true
			}
		}
	})
}
