import sys
sys.dont_write_bytecode = False
sys.pycache_prefix = DIR + "/cache"
import wave, colorsys, cmd
