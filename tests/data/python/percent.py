"""Writes what Python's `%` operator makes of many templates: `PYTHON percent.py > percent.json`.

One case a line: [template, arguments, result], where the result is null if Python raises an error. Arguments are a
list (a tuple) or an object (a dict) of numbers, booleans and texts; null stands for None.
"""
import itertools
import json

VALUES = [0, 5, -42, 2 ** 40, 10 ** 30, True, None, 0.0, -0.0, 3.14159, -2.5, 0.5, 1.5, 2.675, 1e16, 1e-5, 123456.789,
          1e300, 1e-300, 'text', 'x', '', 'it\'s "q"', 'p\xfc\u4f60\U0001f600\n']
FLAGS = ['', '-', '0', '+', ' ', '#', '-0', '+0', '#0', '+-', '# ', '0 ']
WIDTHS = ['', '12', '3']
PRECISIONS = ['', '.', '.0', '.3', '.10']
KINDS = 'srdiuxXoeEfFgGca'


def case(template, arguments):
    try:
        result = template % (tuple(arguments) if isinstance(arguments, list) else arguments)
    except (TypeError, ValueError, KeyError, OverflowError):
        result = None
    return [template, arguments, result]


def cases():
    for kind, value in itertools.product(KINDS, VALUES):
        if kind in 'xXo' and isinstance(value, int) and abs(value) > 2 ** 63:
            continue  # not merged here, where an int beyond 64 bits is only known by its decimal digits
        yield case('<%' + kind + '>', [value])
    shapes = itertools.product(FLAGS, WIDTHS, PRECISIONS, KINDS)
    for number, (flags, width, precision, kind) in enumerate(shapes):
        value = VALUES[number * 7 % len(VALUES)] if kind in 'sra' else [5, -42, 3.14159, 1e16][number % 4]
        if kind in 'xXoc' and isinstance(value, float):
            value = 77
        yield case('%' + flags + width + precision + kind, [value])
    yield case('plain', [])
    yield case('100%%', [])
    yield case('100%5%', [])
    yield case('100%l%', {'a': 1})
    yield case('100%.3%', {'a': 1})
    yield case('100%(a)%', {'a': 1})
    yield case('%s %s', ['one'])
    yield case('%s', ['one', 'two'])
    yield case('no directive', ['one'])
    yield case('%', ['x'])
    yield case('%5', ['x'])
    yield case('%y', ['x'])
    yield case('%ld %hd %Lf', [1, 2, 3.0])
    yield case('%*d|%-*d|%.*f', [5, 1, 5, 2, 2, 3.14159])
    yield case('%*d', [-5, 1])
    yield case('%*d', ['x', 1])
    yield case('%c%c', [65, 'b'])
    yield case('%c', ['two'])
    yield case('%d', ['5'])
    yield case('%(a)s and %(b)05.1f', {'a': 'x', 'b': 2.25})
    yield case('%(a)s', {'b': 1})
    yield case('%(a(b))s', {'a(b)': 1})
    yield case('%(a', {'a': 1})
    yield case('%(a)s', ['x'])
    yield case('no names', {'a': 1})
    yield case('%s', {'a': 1})
    yield case('%s %s', {'a': 1})
    yield case('%(a)s %%', {'a': None})


if __name__ == '__main__':
    lines = [json.dumps(one) for one in cases()]
    print('[\n' + ',\n'.join(lines) + '\n]')
