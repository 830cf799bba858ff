# -*- coding: utf-8 -*-
"""Writes the golden frames of one Python: `PYTHON generate.py OUTDIR` makes OUTDIR/<version>.frames.gz.

Runs on Python 2.7 and 3 alike, and gives the same bytes each time (set PYTHONHASHSEED=0). The file is a run of

    name length (1 byte), name, pickle length (4 bytes, big-endian), pickle

where a name is `<expected record>/<variant>`: the record that the pickle must become stands in
`expected/<expected record>.json`, or `expected/<expected record>@<version>.json` where this Python differs.
"""
from __future__ import unicode_literals

import collections
import datetime
import decimal
import gzip
import logging
import logging.handlers
import os
import pickle
import struct
import sys
import uuid

PY2 = sys.version_info[0] == 2
VERSION = '%d.%d' % sys.version_info[:2]
if PY2:
    import cPickle
    long_int = long  # noqa: F821
else:
    import fractions
    import pathlib
    cPickle = pickle
    long_int = int

CREATED = 1795255200.1234567
FRAMES = []


def add(name, data):
    FRAMES.append((name, bytes(data)))


def fixed(record, **changes):
    """A record whose numbers do not depend on the moment and the machine."""
    record.created = CREATED
    record.msecs = 123.0
    record.relativeCreated = 4567.25
    record.process = 4321
    record.thread = 140737353971520
    record.threadName = 'MainThread'
    record.processName = 'MainProcess'
    if hasattr(record, 'taskName'):
        record.taskName = None
    record.__dict__.update(changes)
    return record


def record(msg, args=(), level=logging.INFO, exc_info=None, func='pay', name='app.views', path='/srv/app/views.py',
           line=17, **changes):
    if PY2:  # there these are byte strings, as the interpreter makes them
        name, path, func = str(name), str(path), func and str(func)
    made = logging.LogRecord(name, level, path, line, msg, args, exc_info, func)
    return fixed(made, **changes)


def stock(case, *args, **keywords):
    """What the stock SocketHandler sends, without the length that stands before."""
    frame = logging.handlers.SocketHandler('127.0.0.1', 9020).makePickle(record(*args, **keywords))
    assert struct.unpack('>L', frame[:4])[0] == len(frame) - 4
    add(case + '/stock', frame[4:])


def protocols():
    return range(pickle.HIGHEST_PROTOCOL + 1)


def every_protocol(name, value):
    for protocol in protocols():
        add('%s/p%d' % (name, protocol), cPickle.dumps(value, protocol))
        if PY2:
            add('%s/python-p%d' % (name, protocol), pickle.dumps(value, protocol))


def raw(**keywords):
    """The dict that handlers of people's own send: nothing merged, nothing left out."""
    msg = keywords.pop('msg', 'paid')
    args = keywords.pop('args', ())
    return dict(record(msg, args, **keywords).__dict__)


# A class at the top of a module can be pickled; these live in a module of a fixed name.
class Point(object):
    def __init__(self):
        self.x = 1


class Old:
    def __init__(self):
        self.x = 1


class Text(str):
    pass


class Number(int):
    pass


class Items(list):
    pass


class Table(dict):
    pass


class Slots(object):
    __slots__ = ('x',)

    def __getstate__(self):
        return (None, {str('x'): self.x})

    def __setstate__(self, state):
        self.x = state[1]['x']


class AppError(Exception):
    pass


class Colour(object):
    """Pickled as an Enum is."""

    def __reduce__(self):
        return (Colour, (2,))

    def __init__(self, value):
        pass


Pair = collections.namedtuple(str('Pair'), str('left right'))

if not PY2:
    class WithKeywords(object):
        def __new__(cls, left, right=None):
            return object.__new__(cls)

        def __getnewargs_ex__(self):
            return ((1,), {'right': 2})

module = type(sys)(str('app'))
for made in [Point, Old, Text, Number, Items, Table, Slots, AppError, Colour, Pair] + ([] if PY2 else [WithKeywords]):
    made.__module__ = str('app')
    made.__qualname__ = made.__name__
    setattr(module, made.__name__, made)
sys.modules[str('app')] = module


class FixedZone(datetime.tzinfo):
    """Python 2 has no datetime.timezone; this is pickled as `pytz` pickles its own."""

    def utcoffset(self, when):
        return datetime.timedelta(hours=2)

    def dst(self, when):
        return None

    def __reduce__(self):
        return (zone, (str('Test/Zone'), 7200, 0, str('TST')))


def zone(*_):
    return FixedZone()


zone.__module__ = str('pytz')
zone.__name__ = zone.__qualname__ = str('_p')
sys.modules[str('pytz')] = type(sys)(str('pytz'))
sys.modules[str('pytz')]._p = zone


def stock_records():
    stock('info', 'paid %d of %s', (4, 'us'))
    stock('debug', 'x', level=logging.DEBUG, func=None, line=0)
    stock('unicode', 'pr\xfcft \u4f60\u597d \U0001f600 "quoted" \\ \n\ttab')
    stock('extras', 'paid', user_id=42, ratio=0.25, ok=True, no=False, nothing=None, big=2 ** 80, negative=-2 ** 40,
          owner='bob', trace_id=17, span_id='b7ad6b7169203331', service='billing', event_name='payment.made')
    stock('level25', 'x', level=25)
    stock('level5', 'x', level=5, func='<module>')
    stock('critical', 'x', level=logging.CRITICAL)
    stock('root', 'x', name='root')
    stock('other_process', 'x', processName='worker-3', threadName='pool-1_0', process=99)
    stock('formatted_before', 'paid %s', ('x',), message='paid x', asctime='2026-11-21 10:00:00,123')
    stock('msg_not_text', {str('event'): 17})
    try:
        raise ValueError('bad: 4')
    except ValueError:
        text = ('Traceback (most recent call last):\n  File "/srv/app/views.py", line 17, in pay\n    charge()\n'
                'app.errors.Refused: card refused\nby the bank')
        stock('exception', 'failed', level=logging.ERROR, exc_text=text)
    if sys.version_info >= (3, 12):
        stock('task', 'x', taskName='Task-7')
    if not PY2:
        stock('stack', 'x', stack_info='Stack (most recent call last):\n  File "a.py", line 1, in <module>')
        stock('lone_surrogate', 'file \udcff.txt')
        every_protocol('lone_surrogate', raw(msg='file \udcff.txt'))
    if PY2:
        stock('latin1', b'pr\xfcfung')
        stock('utf8_bytes', 'pr\xfcfung'.encode('utf-8'))
        every_protocol('latin1', raw(msg=b'pr\xfcfung'))
        every_protocol('utf8_bytes', raw(msg='pr\xfcfung'.encode('utf-8')))


def every_value():
    nested = {'list': [1, 'two', None, [True]], 'tuple': (1, (2,), ()), 'one': (1,), 'map': {'a': {'b': 1.5}}}
    every_protocol('nested', raw(nested=nested, empty_list=[], empty_map={}, empty_text=''))
    every_protocol('numbers', raw(byte=200, short=60000, four=2 ** 31 - 1, minus=-1, eight=2 ** 62, huge=2 ** 100,
                                  minus_huge=-2 ** 100, long=long_int(5), inf=float('inf'), nan=float('nan'),
                                  tiny=1e-300, e=1e16, zero=0.0))
    every_protocol('keys', {'msg': 'paid', 'levelno': 20, 5: 'five', None: 'none', 1.5: 'float', (1, 'a'): 'tuple'})
    moment = datetime.datetime(2026, 11, 21, 10, 30, 5, 123456)
    every_protocol('times', raw(moment=moment, second=moment.replace(microsecond=0), day=moment.date(),
                                clock=moment.time(), span=datetime.timedelta(1, 7384, 5),
                                back=datetime.timedelta(-2), zoned=moment.replace(tzinfo=FixedZone())))
    every_protocol('known', raw(money=decimal.Decimal('1.50'), id=uuid.UUID(int=0x12345678123456781234567812345678),
                                ordered=collections.OrderedDict([('b', 1)]),
                                default=collections.defaultdict(list, {'a': [1]}),
                                deque=collections.deque([1, 2]), pair=Pair(1, 'b'),
                                count=collections.Counter({'a': 2}), text=Text('abc'), number=Number(7),
                                items=Items([1, 2]), table=Table({'a': 1}), point=Point(), old=Old(),
                                error=ValueError('bad', 3), own_error=AppError('own'), enum=Colour(2),
                                type=Point, function=len))
    shared = ['shared']
    loop = ['loop']
    loop.append(loop)
    holder = {'msg': 'paid', 'levelno': 20, 'one': shared, 'two': shared, 'loop': loop}
    holder['self'] = holder
    every_protocol('shared', holder)
    if VERSION in ('2.7', '3.6', '3.13'):  # large ones
        many = raw()
        many.update(('key%04d' % number, number) for number in range(1003))
        every_protocol('many', many)
        every_protocol('huge_text', raw(msg='y' * 70000))
    slots = Slots()
    slots.x = 1
    for protocol in protocols()[2:]:
        add('slots/p%d' % protocol, pickle.dumps(raw(slots=slots), protocol))
    if not PY2:
        zoned = moment.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
        utc = moment.replace(tzinfo=datetime.timezone.utc)
        every_protocol('python3_known', raw(zoned=zoned, utc=utc, where=pathlib.PurePosixPath('/srv/app', 'views.py'),
                                            relative=pathlib.PureWindowsPath('a') / 'b', logger_class=logging.Logger,
                                            ratio=fractions.Fraction(1, 3), zone=datetime.timezone.utc))
        every_protocol('paths', raw(file=pathlib.PurePosixPath('/srv') / 'a' / 'b.py', here=pathlib.PurePosixPath()))
        for protocol in protocols():  # the lower ones use Python 2's names, and have no place for arguments by name
            missing = pickle.dumps(raw(missing=FileNotFoundError(2, 'gone')), protocol)
            add('%s/p%d' % ('missing' if protocol > 2 else 'missing_in_python2', protocol), missing)
            keywords = pickle.dumps(raw(keywords=WithKeywords(1)), protocol)
            add('%s/p%d' % ('keywords' if protocol > 1 else 'keywords_left_out', protocol), keywords)
        every_protocol('bytes', raw(some=b'\x00\xff', empty=b'', array=bytearray(b'\x01\xfe'), set={'a'},
                                    frozen=frozenset(['b']), empty_set=set()))


def whole_records():
    every_protocol('whole', record('paid %s', ('x',)))
    every_protocol('raw_args', raw(msg='%s paid %5.2f (%d%%)', args=('bob', 3.14159, 42)))
    every_protocol('raw_named', raw(msg='%(who)s paid %(sum)r', args=({'who': 'bob', 'sum': 'x'},)))
    every_protocol('raw_mismatch', raw(msg='%s and %s', args=('only one',)))
    every_protocol('wrong_types', {'name': 5, 'msg': 'paid', 'levelno': 'high', 'levelname': 3, 'created': 'today',
                                   'lineno': 'x', 'process': None, 'thread': 't', 'pathname': ['a'], 'exc_text': 7})


def other_libraries():
    """Dicts equal to what these libraries leave in a record."""
    every_protocol('loguru', raw(msg='2026-11-21 10:00:00.123 | SUCCESS  | app:pay:17 - paid', level=25,
                                 levelname='SUCCESS', exc_text='\n', extra={'user': {'id': 5}, 'request_id': 'r-1',
                                                                           'name': 'inner', 'trace_id': 'abc'}))
    every_protocol('structlog', raw(msg="{'event': 'paid', 'user_id': 42}", _name='info',
                                    _logger=logging.getLogger('app.views') if sys.version_info >= (3, 7) else None,
                                    _from_structlog=True))
    every_protocol('uvicorn', raw(name='uvicorn.error', msg='Started server process [4321]',
                                  color_message='Started server process [\x1b[36m%d\x1b[0m]'))
    every_protocol('opentelemetry', raw(otelTraceID='0af7651916cd43dd8448eb211c80319c',
                                        otelSpanID='b7ad6b7169203331', otelTraceSampled=True,
                                        otelServiceName='billing'))
    every_protocol('opentelemetry_none', raw(otelTraceID='0', otelSpanID='0', otelTraceSampled=False,
                                             otelServiceName=''))
    extras = {'dd.trace_id': '3141', 'dd.span_id': '59', 'dd.service': 'billing', 'dd.env': 'prod', 'dd.version': ''}
    every_protocol('datadog', raw(**{str(key): value for key, value in extras.items()}))
    every_protocol('elastic', raw(elasticapm_trace_id='0af7651916cd43dd8448eb211c80319c',
                                  elasticapm_span_id=None, elasticapm_transaction_id='b7ad6b7169203331',
                                  elasticapm_service_name='billing', elasticapm_service_environment='prod'))
    fields = {'service.name': 'billing', 'host.name': 'web-1', 'service': 'older', 'host': 'h', 'dd.service': 'dd'}
    every_protocol('fields', raw(trace_id=uuid.UUID(int=5), span_id=7, event_name='made',
                                 **{str(key): value for key, value in fields.items()}))


def not_records():
    for name, value in [('list', [1, 2]), ('text', 'x'), ('none', None), ('empty', {}), ('object', Point())]:
        every_protocol('reject_not_a_record', value)


def main(folder):
    stock_records()
    every_value()
    whole_records()
    other_libraries()
    not_records()
    with open(os.path.join(folder, VERSION + '.frames.gz'), 'wb') as target, \
            gzip.GzipFile(str(''), 'wb', 9, target, 0) as out:
        for name, data in FRAMES:
            name = name.encode('ascii')
            out.write(struct.pack('>B', len(name)) + name + struct.pack('>L', len(data)) + data)


if __name__ == '__main__':
    main(sys.argv[1])
