# The smallest program: one value out.
import math

post(math.sqrt(2))
