"""Writes what Python's JSON loggers send, with fixed times and processes, into this folder.

python -m venv v && v/bin/pip install python-json-logger structlog loguru ecs-logging python-logstash pygelf
v/bin/python generate.py

Made with python-json-logger 4.2.0, structlog 26.1.0, loguru 0.7.3, ecs-logging 2.3.0, python-logstash 0.4.8, pygelf 0.4.3.
"""

import datetime
import json
import logging
import pathlib
import socket
import time

CREATED = 1795255200.123456  # 2026-11-21T10:00:00.123456Z
UTC = datetime.timezone.utc
HERE = pathlib.Path(__file__).parent
socket.gethostname = lambda: "web-1"


def error():
    code = compile("\n" * 15 + "def pay():\n    1 / 0\npay()", "/srv/app/views.py", "exec")
    try:
        exec(code, {})
    except ZeroDivisionError as error:
        return type(error), error, error.__traceback__.tb_next
    raise AssertionError


def records():
    plain = logging.LogRecord("app.views", 30, "/srv/app/views.py", 17, 'card "%s" refused', ("4\u00fc",), None, "pay")
    plain.user_id = 42
    failed = logging.LogRecord("app", 40, "/srv/app/main.py", 3, "failed", (), error(), "<module>")
    for record in plain, failed:
        record.created = CREATED
        record.msecs = 123.0
        record.process = 4321
        record.thread = 140013345826560
        record.relativeCreated = 1000.0
        yield record


def write(name, lines):
    text = "".join(line.strip("\0\n") + "\n" for line in lines)
    (HERE / f"{name}.jsonl").write_text(text, encoding="utf-8")


def through(formatter):
    formatter.converter = time.gmtime
    return [formatter.format(record) for record in records()]


def text(data):
    return data.decode() if isinstance(data, bytes) else data


def python_json_logger():
    from pythonjsonlogger.json import JsonFormatter

    fields = "asctime levelname name message pathname lineno funcName process threadName processName taskName".split()
    formatter = JsonFormatter(" ".join(f"%({field})s" for field in fields))
    write("python-json-logger", through(formatter))
    write("python-json-logger-bare", through(JsonFormatter(timestamp=True)))


def structlog():
    import structlog

    def stamp(_logger, _name, event):
        event["timestamp"] = "2026-11-21T10:00:00.123456Z"
        return event

    lines = []

    class Printer:
        def msg(self, line):
            lines.append(line)

        info = warning = error = msg

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=lambda *_: Printer(),
    )
    log = structlog.get_logger()
    log.warning("card_refused", card="4\u00fc", user_id=42, logger="app.views", nested={"a": [1, 2.5, None]})
    log.error("failed", exc_info=error())
    write("structlog", lines)


def loguru():
    from loguru import logger

    lines = []
    logger.remove()
    logger.add(lambda line: lines.append(str(line)), serialize=True, format="{level} {message}", backtrace=False, diagnose=False)

    def fix(record):
        record["time"] = datetime.datetime.fromtimestamp(CREATED, UTC)
        record["elapsed"] = datetime.timedelta(seconds=1)
        record["process"].id = 4321
        record["thread"].id = 140013345826560
        record["file"].path, record["file"].name = "/srv/app/views.py", "views.py"
        record["name"], record["function"], record["line"], record["module"] = "app.views", "pay", 17, "views"

    log = logger.patch(fix)
    log.bind(user_id=42).success("card refused")
    log.opt(exception=error()).error("failed")
    write("loguru", lines)


def ecs():
    import ecs_logging

    write("ecs-logging", through(ecs_logging.StdlibFormatter(extra={"service.name": "billing"})))


def logstash():
    from logstash.formatter import LogstashFormatterVersion1

    version1 = LogstashFormatterVersion1("logstash", tags=["a"])
    version1.host = "web-1"
    write("python-logstash", [text(version1.format(record)) for record in records()])


def gelf():
    from pygelf import gelf as pygelf

    events = [
        pygelf.make(record, "web-1", True, "1.1", {"_app_version": "1.2"}, {}, include_extra_fields=True)
        for record in records()
    ]
    write("pygelf", [json.dumps(event) for event in events])


for made in python_json_logger, structlog, loguru, ecs, logstash, gelf:
    made()
