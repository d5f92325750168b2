from fractions import Fraction
import numbers
print(Fraction("0.125") + Fraction(1, 3), Fraction(3.14).limit_denominator(100), isinstance(Fraction(1), numbers.Rational), f"{Fraction(1, 3):.3f}")
