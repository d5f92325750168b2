from decimal import ROUND_HALF_EVEN, Decimal, getcontext, localcontext, InvalidOperation
getcontext().prec = 30
print(Decimal(1) / 7, Decimal("2.675").quantize(Decimal("0.01"), ROUND_HALF_EVEN), Decimal(2).sqrt())
with localcontext() as c:
    c.prec = 5
    print(Decimal(10) / 3, f"{Decimal('1234567.891'):,.1f}")
try:
    Decimal("x")
except InvalidOperation as e:
    print(e)
