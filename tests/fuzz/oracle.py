"""What CPython makes of pickles of log records, held against what the decoder makes of them.

Random records are pickled by CPython's own picklers, at all protocols; some are damaged. Each goes to the decoder at the
other end of stdout and stdin: a frame is a big-endian length and the pickle, an empty one asks for the answers, one line
of JSON each. Then CPython loads the pickle, and the two must agree wherever it holds nothing but data.

    oracle.py SEED SECONDS COUNT [CORPUS]

ends after so many seconds or pickles, whichever is first (0 is no bound); the pickles of a corpus are taken first.
"""

import base64
import collections
import datetime
import decimal
import io
import json
import logging
import pickle
import random
import resource
import signal
import struct
import sys
import time
from pathlib import Path

SPECIAL = {  # keys that have rules of their own, which golden tests hold
    "trace_id", "otelTraceID", "dd.trace_id", "elasticapm_trace_id", "span_id", "otelSpanID", "dd.span_id",
    "elasticapm_span_id", "event_name", "service.name", "service", "otelServiceName", "dd.service",
    "elasticapm_service_name", "host.name", "host", "otelTraceSampled", "color_message", "_logger", "_name",
    "_record", "_from_structlog", "extra",
}  # fmt: skip
STANDARD = set(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"taskName", "asctime", "message"}
DERIVED = {"exception.type", "exception.message", "python.lossy_text"}  # told from other members by golden tests
PLAIN_CLASSES = {
    ("builtins", "set"): set, ("builtins", "frozenset"): frozenset, ("builtins", "bytearray"): bytearray,
    ("builtins", "bytes"): bytes, ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
    ("__builtin__", "set"): set, ("__builtin__", "frozenset"): frozenset, ("__builtin__", "bytes"): bytes,
    ("__builtin__", "bytearray"): bytearray,
}  # fmt: skip

PICKLE_SECONDS_MAX = 5  # a damaged pickle may keep CPython busy for ever


class Skip(Exception):
    """Nothing to compare: the reason is counted."""


# Random records.


def text(rng: random.Random, args: bool = False) -> str:
    alphabet = rng.choice(["ab c", "aä", "日本語", "😀a", "\n\t\"'\\", "%s{}", "a\0\x7f", "L5\n."])
    return "".join(rng.choices(alphabet, k=rng.choice([0, 1, 2, 5, 20, 300 if not args else 30])))


def scalar(rng: random.Random):
    return rng.choice(
        [
            lambda: None,
            lambda: rng.random() < 0.5,
            lambda: rng.choice([0, 1, -1, 255, 256, 65535, 65536, -(2**31), 2**31, 2**63 - 1, -(2**63), 2**63, -(2**64)]),
            lambda: rng.randrange(-(10**6), 10**6),
            lambda: rng.getrandbits(rng.choice([8, 64, 200])) * rng.choice([1, -1]),
            lambda: rng.choice([0.0, -0.0, 1.5, 1e16, 1e-5, 123456789.125, 5e-324, 1.7976931348623157e308, 0.1]),
            lambda: rng.choice([float("nan"), float("inf"), float("-inf")]),
            lambda: struct.unpack("d", rng.randbytes(8))[0],
            lambda: text(rng),
            lambda: rng.randbytes(rng.choice([0, 1, 3, 20])),
            lambda: bytearray(rng.randbytes(3)),
        ]
    )()


def value(rng: random.Random, depth: int = 0):
    if depth > 4 or rng.random() < 0.6:
        return scalar(rng)
    parts = [value(rng, depth + 1) for _ in range(rng.choice([0, 1, 2, 3, 9]))]
    hashable = [part for part in parts if isinstance(part, (str, int, bytes)) and part not in (True, False)]
    hashable = [part for part in hashable if not isinstance(part, str) or len(part) < 100]
    return rng.choice(
        [
            lambda: parts,
            lambda: tuple(parts),
            lambda: set(hashable),
            lambda: frozenset(hashable),
            lambda: {text(rng, True): part for part in parts},
            lambda: dict(zip(hashable, parts)),
            lambda: [parts, parts],
        ]
    )()


def template(rng: random.Random) -> str:
    def directive() -> str:
        flags = "".join(rng.choices("#0- +", k=rng.choice([0, 0, 1, 2])))
        width = rng.choice(["", "", "5", "12", "*"])
        precision = rng.choice(["", "", ".0", ".3", ".*", "."])
        name = rng.choice(["", "", "", "(a)", "(b c)"])
        return "%" + name + flags + width + precision + rng.choice("ssssrdiuxXofFeEgGca%l")

    pieces = [rng.choice([text(rng, True).replace("%", ""), directive()]) for _ in range(rng.choice([0, 1, 2, 3, 5]))]
    return "".join(pieces)


def arguments(rng: random.Random, wanted: int):
    if rng.random() < 0.2:
        return {name: scalar(rng) for name in ["a", "b c", "d"][: rng.choice([1, 2, 3])]}
    count = max(0, wanted + rng.choice([0, 0, 0, 0, 0, 1, -1]))
    return tuple(text(rng, True) if rng.random() < 0.3 else scalar(rng) for _ in range(count))


def record(rng: random.Random) -> dict:
    made = logging.LogRecord(
        rng.choice(["app", "app.views", "", text(rng)]), rng.choice([10, 20, 30, 40, 50, 0, 25, -5, 10**20]),
        rng.choice(["/srv/app/views.py", text(rng)]), rng.choice([17, 0, 2**32, -1]), template(rng), None, None,
        rng.choice(["pay", None, text(rng)]),
    )  # fmt: skip
    members = dict(made.__dict__)
    if rng.random() < 0.6:
        wanted = members["msg"].replace("%%", "").count("%") + members["msg"].count("*")
        members["args"] = arguments(rng, wanted)
    else:
        members["msg"] = value(rng) if rng.random() < 0.2 else text(rng)
    if rng.random() < 0.3:
        members["created"] = rng.choice([0, 1e9, 1795287041.331234, -5.5, 1e30, float("nan"), rng.random() * 1e10])
    for _ in range(rng.choice([0, 0, 1, 3, 30])):
        members[rng.choice(["user_id", "k", text(rng, True), f"n{rng.randrange(100)}"])] = value(rng)
    for key in rng.sample(sorted(STANDARD), k=rng.choice([0, 0, 0, 1, 5])):
        members[key] = value(rng) if rng.random() < 0.5 else text(rng)
    if rng.random() < 0.1:
        members["exc_text"] = "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'a'\n"
    members.pop("args" if rng.random() < 0.02 else "", None)
    items = list(members.items())
    rng.shuffle(items)
    return dict(items)


def pickled(rng: random.Random, members: dict) -> bytes:
    out, protocol = io.BytesIO(), rng.randrange(6)
    pickler = rng.choice([pickle.Pickler, pickle._Pickler])(out, protocol)
    pickler.fast = rng.random() < 0.1
    pickler.dump(members)
    return out.getvalue()


OPCODES = [found[0] for found in vars(pickle).values() if isinstance(found, bytes) and len(found) == 1]


def damaged(rng: random.Random, frame: bytes) -> bytes:
    frame = bytearray(frame)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at, length = rng.randrange(len(frame) + 1), rng.choice([1, 1, 2, 8])
        match rng.randrange(5):
            case 0 if at < len(frame):
                frame[at] ^= 1 << rng.randrange(8)
            case 1:
                frame[at:at] = rng.choice([b"0", b"2", b"(", b"N", b"u", b"s", b"}", b")", b"e", b"q\1", b"h\1", b"1"])
            case 2:
                del frame[at : at + length]
            case 3 if at < len(frame):
                frame[at] = rng.choice(OPCODES)
            case _:
                source = rng.randrange(len(frame) + 1)
                frame[at:at] = frame[source : source + length * 4]
    return bytes(frame)




# What CPython makes of a pickle.


class Restricted:
    """Finds nothing that could do anything."""

    def find_class(self, module, name):
        try:
            return PLAIN_CLASSES[module, name]
        except KeyError:
            raise Skip("it holds more than data") from None

    def persistent_load(self, _):
        raise Skip("it holds more than data")


class Plain(Restricted, pickle.Unpickler):
    pass


class PlainInPython(Restricted, pickle._Unpickler):
    pass


def loaded(frame: bytes):
    """The dict; raises Skip where it is not plain, and anything else where it is no pickle."""
    try:
        return Plain(io.BytesIO(frame), encoding="utf-8").load()
    except ValueError as error:
        if "unregistered extension code" in str(error):
            raise Skip("it holds more than data") from None
        raise


def text_bytes(found: dict) -> int:
    return sum(len(text.encode()) for text in found.values() if isinstance(text, str))


def loads_in_python(frame: bytes) -> bool:
    """The unpickler that is written in Python is the stricter one, such as with zero bytes in numbers."""
    try:
        PlainInPython(io.BytesIO(frame), encoding="utf-8").load()
    except Exception:
        return False
    return True


def check_comparable(found, path=(), seen=None) -> None:
    """Raises Skip for what is bounded here and not there."""
    seen = seen if seen is not None else collections.Counter()
    seen["values"] += 1
    if seen["values"] > 2000 or len(path) > 50:
        raise Skip("it is large")
    if isinstance(found, str):
        seen["bytes"] += len(found)
        if any(0xD800 <= ord(c) < 0xE000 for c in found):
            raise Skip("it holds surrogates")
    elif isinstance(found, (bytes, bytearray)):
        seen["bytes"] += 2 * len(found)
    elif isinstance(found, int):
        if found.bit_length() > 4000:
            raise Skip("it is large")
    elif isinstance(found, (list, tuple, set, frozenset, dict)):
        if id(found) in path:
            raise Skip("it contains itself")
        inner = [*found, *found.values()] if isinstance(found, dict) else list(found)
        if isinstance(found, dict) and any(len(str(key)) > 100 for key in found):
            raise Skip("a key is long")
        for part in inner:
            check_comparable(part, (*path, id(found)), seen)
    elif not (found is None or isinstance(found, float)):
        raise Skip("it holds more than data")
    if seen["bytes"] > 50_000:
        raise Skip("it is large")


def has_set(found) -> bool:
    """Or a bytearray: their `repr` is only alike."""
    if isinstance(found, (set, frozenset, bytearray)):
        return True
    if isinstance(found, dict):
        return any(map(has_set, found.values())) or any(map(has_set, found))
    return isinstance(found, (list, tuple)) and any(map(has_set, found))


def fits(number, low: int, high: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and low <= number <= high


def timestamp(seconds) -> str | None:
    """As shown, rounded to microseconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or isinstance(seconds, int) and not fits(seconds, -(2**63), 2**63 - 1):
        return None
    if seconds != seconds or abs(float(seconds) * 1e6) >= 9.2e15:
        return None
    whole = decimal.Decimal(float(seconds) * 1e6).quantize(0, decimal.ROUND_HALF_UP)
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=int(whole))
    return moment.isoformat(timespec="microseconds") + "000Z"


def message(members: dict) -> tuple[str, dict]:
    """The message as `LogRecord.getMessage` has it, and the attributes that tell what it was made of."""
    made, args = logging.makeLogRecord(members), members.get("args")
    formatted = members.get("message") if isinstance(members.get("message"), str) else ""
    if has_set(made.msg) or has_set(args):
        raise Skip("its message shows sets")
    if args is not None and not isinstance(args, (tuple, dict)):
        raise Skip("no logger makes such arguments")
    bare = formatted if formatted and members.get("msg") is None else str(made.msg)
    if not args:
        return bare, {}
    if isinstance(args, dict) and not all(isinstance(key, str) for key in args):
        raise Skip("no logger makes such arguments")
    if formatted:
        return formatted, {"python.args": args, "python.msg": bare}
    try:
        merged = made.getMessage() if members.get("msg") is not None else bare % args
    except Exception:
        return bare, {"python.args": args}
    if len(merged) > 5000:
        raise Skip("it is large")
    arguments = args.values() if isinstance(args, dict) else args
    if any(character in bare for character in "xXo") and any(isinstance(one, int) and one.bit_length() > 63 for one in arguments):
        raise Skip("it shows a long integer in hexadecimal")
    return merged, {"python.args": args, "python.msg": bare}


def expected(members: dict) -> dict:
    """The record in the shape of the HTTP API, but attributes as Python values."""
    merged, attributes = message(members)
    attributes["env"] = "prod"
    shown = {"id": 1, "message": merged, "service": "listener", "host": "client-1", "process_id": 7}

    def text_field(key: str, field: str) -> bool:
        if isinstance(members[key], str):
            shown[field] = members[key]
        return isinstance(members[key], str)

    for key, found in members.items():
        if key in SPECIAL or not isinstance(key, str):
            raise Skip("a key has rules of its own")
        taken = {
            "name": lambda: text_field(key, "logger"),
            "msg": lambda: True,
            "args": lambda: True,
            "levelname": lambda: text_field(key, "severity"),
            "levelno": lambda: fits(found, -(2**63), 2**63 - 1),
            "pathname": lambda: text_field(key, "file"),
            "filename": lambda: isinstance(found, str),
            "lineno": lambda: fits(found, 0, 2**32 - 1) and shown.update(line=found) is None,
            "funcName": lambda: text_field(key, "function"),
            "created": lambda: timestamp(found) and shown.update(timestamp=timestamp(found)) is None,
            "process": lambda: fits(found, 0, 2**32 - 1) and shown.update(process_id=found) is None,
            "thread": lambda: fits(found, -(2**63), 2**63 - 1) and attributes.update({"thread.id": found}) is None,
            "threadName": lambda: text_field(key, "thread"),
            "processName": lambda: isinstance(found, str)
            and (found == "MainProcess" or attributes.update({"python.process_name": found}) is None),
            "taskName": lambda: isinstance(found, str) and attributes.update({"python.task_name": found}) is None,
            "exc_text": lambda: isinstance(found, str)
            and (not found.strip() or attributes.update({"exception.stacktrace": found.rstrip()}) is None),
            "stack_info": lambda: isinstance(found, str) and attributes.update({"code.stacktrace": found}) is None,
            "message": lambda: isinstance(found, str),
            "module": lambda: isinstance(found, str),
            "asctime": lambda: isinstance(found, str),
            "msecs": lambda: isinstance(found, float) or fits(found, -(2**63), 2**63 - 1),
            "relativeCreated": lambda: isinstance(found, float) or fits(found, -(2**63), 2**63 - 1),
        }.get(key, lambda: False)()
        if not taken and not (key in STANDARD and found is None):
            attributes[key] = found
    level = members.get("levelno")
    if fits(level, -(2**63), 2**63 - 1) and level not in (10, 20, 30, 40, 50):
        attributes["python.levelno"] = level
    if not shown.get("file") and isinstance(members.get("filename"), str):
        shown["file"] = members["filename"]
    shown["attributes"] = attributes
    return shown


# Comparing.


def same(found, got) -> bool:
    """Whether JSON is what a Python value becomes."""
    if isinstance(found, dict):
        names = {shown_key(key): part for key, part in found.items()}
        return isinstance(got, dict) and names.keys() == got.keys() and all(same(part, got[key]) for key, part in names.items())
    if isinstance(found, (list, tuple)):
        return isinstance(got, list) and len(found) == len(got) and all(map(same, found, got))
    if isinstance(found, (set, frozenset)):
        return isinstance(got, list) and all(any(same(part, other) for other in got) for part in found)
    if isinstance(found, (bytes, bytearray)):
        return got == "base64:" + base64.b64encode(found).decode()
    if isinstance(found, float):
        names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
        return got == names[repr(found)] if repr(found) in names else isinstance(got, float) and repr(got) == repr(found)
    if isinstance(found, int) and not isinstance(found, bool) and not fits(found, -(2**63), 2**63 - 1):
        return got == str(found)
    return type(found) is type(got) and found == got


def shown_key(key) -> str:
    return key if isinstance(key, str) else repr(key)


def difference(frame: bytes, got: dict) -> str:
    """What is wrong with an answer; raises Skip where there is nothing to compare."""
    try:
        members = loaded(frame)
    except Skip:
        raise
    except Exception as error:
        raise Skip("it is refused by both" if "rejected" in got else f"CPython alone refuses it: {type(error).__name__}") from None
    if not isinstance(members, dict) or not members:
        return "" if got.get("rejected") == "not_a_record" else "it is not a record"
    check_comparable(members)
    if text_bytes(members) > 2 * len(frame):
        raise Skip("it repeats long texts")
    if "rejected" in got and not loads_in_python(frame):
        raise Skip("only CPython's faster half takes it")
    if "rejected" in got:
        return f"it is rejected as {got['rejected']}"
    wanted = expected(members)
    attributes, own = wanted.pop("attributes"), got.pop("attributes", {})
    problems = [
        f"{name}: expected {attributes.get(name)!r}, got {own.get(name)!r}"
        for name in (attributes.keys() | own.keys()) - DERIVED
        if name not in attributes or name not in own or not same(attributes[name], own[name])
    ]
    for name in ["timestamp", "severity", "severity_number"]:
        if not wanted.get(name):
            got.pop(name, None)
    wanted = {name: found for name, found in wanted.items() if found not in ("", 0) or name == "message"}
    if wanted != got:
        names = sorted(wanted.keys() | got.keys())
        problems += [f"{name}: expected {wanted.get(name)!r}, got {got.get(name)!r}" for name in names if wanted.get(name) != got.get(name)]
    return "; ".join(problems)


# The other end.


def ask(frames: list[bytes]) -> list[dict]:
    for frame in frames:
        sys.stdout.buffer.write(struct.pack(">I", len(frame)) + frame)
    sys.stdout.buffer.write(struct.pack(">I", 0))
    sys.stdout.buffer.flush()
    return [json.loads(sys.stdin.buffer.readline()) for _ in frames]


def frames(rng: random.Random, corpus: Path | None):
    for path in sorted(corpus.iterdir()) if corpus else []:
        frame = path.read_bytes()
        if frame:
            yield frame
            yield damaged(rng, frame)
    while True:
        frame = pickled(rng, record(rng))
        yield frame
        yield damaged(rng, frame) or b"."


def too_long(*_) -> None:
    raise Skip("CPython took too long")


def main() -> int:
    seed, seconds, count, *corpus = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))  # a damaged pickle may ask for any memory
    source, outcomes, problems = frames(random.Random(int(seed)), Path(corpus[0]) if corpus else None), collections.Counter(), []
    signal.signal(signal.SIGALRM, too_long)
    end = time.monotonic() + float(seconds) if float(seconds) else float("inf")
    while len(problems) < 20 and time.monotonic() < end and not 0 < int(count) <= outcomes.total():
        batch = [next(source) for _ in range(200)]
        for frame, got in zip(batch, ask(batch)):
            signal.setitimer(signal.ITIMER_REAL, PICKLE_SECONDS_MAX)
            try:
                problem = difference(frame, got)
                outcomes["they differ" if problem else "they agree"] += 1
            except Skip as reason:
                outcomes[str(reason)] += 1
                continue
            except (MemoryError, RecursionError):
                outcomes["CPython gave up"] += 1
                continue
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if problem:
                problems.append(f"{problem}\n    {base64.b64encode(frame).decode()}")
    for outcome, times in outcomes.most_common():
        print(f"{times:8} {outcome}", file=sys.stderr)
    print(*problems, sep="\n", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
