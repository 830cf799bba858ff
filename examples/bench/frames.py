"""Writes the frames that SocketHandler makes of the records of a data set: frames.py SET COUNT

The sets are those of data_sets.rs, as far as pickles have the same fields.
"""

import logging
import logging.handlers
import random
import sys

PHRASES = [
    "Größe der Übertragung überschritten",
    "заказ не найден на складе",
    "支払いが拒否されました",
    "upload 🚀 finished",
    "first line\nsecond line\tcolumn",
    'said "no" to C:\\temp\\log',
    "الطلب مكتمل",
]


def plain(n, level):
    record = logging.LogRecord(
        "app.module%03d" % (n % 100), level, "/srv/app/module%03d.py" % (n % 100), n % 100 * 7 + 1,
        "[%06d] log message %08d for user %d", (n, n, random.randrange(500000)), None, "handle_request")
    record.service, record.trace_id = "service-%02d" % (n % 20), "%032x" % random.getrandbits(128)
    record.region = "eu-central-1"
    return record


def varied(n, level):
    record = plain(n, level)
    module = random.randrange(100)
    record.name, record.pathname = "app.module%03d" % module, "/srv/app/module%03d.py" % module
    record.lineno, record.process = 100 + random.randrange(400), 1000 + random.randrange(64)
    record.service, record.threadName = "service-%02d" % random.randrange(20), "worker-%03d" % random.randrange(8)
    return record


def threads(n, level):
    record = plain(n, level)
    record.threadName = "Thread-%d" % n
    return record


def pods(n, level):
    record = plain(n, level)
    pod = n % 20 * 50 + random.randrange(50)
    record.host, record.process = "%s-7c9d8b5f4-%06x" % (record.service, pod * 16127), 1 + pod * 31
    return record


def wide(n, level):
    record = plain(n, level)
    for index in range(40):
        values = ["value-%02d" % random.randrange(20), random.randrange(1000000), random.random() < 0.1,
                  "%016x" % random.getrandbits(64)]
        setattr(record, "field_%02d" % index, values[index % 4])
    return record


def long(n, level):
    record = plain(n, level)
    frames = ['  File "/srv/app/package%02d/module%03d.py", line %d, in handle_%d\n'
              "    result = self.handler_%d.call(request, timeout=%d)\n"
              % tuple(map(random.randrange, (40, 200, 900, 500, 500, 60))) for _ in range(28)]
    record.exc_text = "Traceback (most recent call last):\n%sValueError: order %d" % ("".join(frames), n)
    return record


def tiny(n, level):
    return logging.LogRecord("app", level, "app.py", 1, "ok %d", (n,), None, "main")


def unicode(n, level):
    record = plain(n, level)
    record.msg = random.choice(PHRASES).replace("%", "%%") + ": " + record.msg
    record.buyer, record.note = "Müller-%d" % random.randrange(5000), random.choice(PHRASES)
    return record


def mixed(n, level):
    record = random.choice([plain, varied, threads, pods, wide, long, tiny, unicode])(n, level)
    late = 3600 if random.randrange(100) == 0 else 0
    record.created -= random.uniform(0, 60) + late
    return record


def main(name, count):
    random.seed(1)
    handler = logging.handlers.SocketHandler("localhost", 1)
    make = globals()[name]
    for n, level in enumerate(random.choices([10, 20, 30, 40, 50], [20, 60, 12, 7, 1], k=count)):
        sys.stdout.buffer.write(handler.makePickle(make(n, level)))


main(sys.argv[1], int(sys.argv[2]))
