"""The design of 2017 that logboom descends from, as a reference: one thread, edge-triggered epoll, pickles of logging's
SocketHandler, a file of lines, and, if asked for, a database.

    ancestor.py file PATH                 lines in PATH.log
    ancestor.py postgres BATCH URL PATH   the same, and rows in a database, so many a statement and transaction

It prints its address. Once its standard input is closed, it ends when all clients have gone and what they sent is stored. Rows go through `psycopg2.extras.execute_values` into a table
without any index; a commit is durable, as is PostgreSQL's default. A batch that is not full is written after a second.
"""

import logging
import pickle
import select
import socket
import struct
import sys
import time

FORMAT = "%(levelname)1.1s %(asctime)s %(name)s:%(lineno)3s %(message)s"
COLUMNS = "time timestamptz, level integer, name text, path text, line integer, function text, process integer, thread text, message text, service text, trace_id text, region text"
INSERT = "INSERT INTO logs VALUES %s"
ROW = "(to_timestamp(%s), " + ", ".join(["%s"] * 11) + ")"


class File:
    def __init__(self, path):
        self.file = open(path + ".log", "w", buffering=1 << 16)
        self.formatter = logging.Formatter(FORMAT)

    def add(self, record):
        self.file.write(self.formatter.format(record) + "\n")

    def flush(self):
        self.file.flush()


class Database:
    def __init__(self, url, batch):
        import psycopg2.extras
        self.execute_values = psycopg2.extras.execute_values
        self.connection = psycopg2.connect(url)
        self.cursor = self.connection.cursor()
        self.cursor.execute("CREATE TABLE logs (" + COLUMNS + ")")
        self.connection.commit()
        self.batch, self.rows = batch, []

    def add(self, record):
        get = record.__dict__.get
        self.rows.append((record.created, record.levelno, record.name, record.pathname, record.lineno, record.funcName,
                          record.process, record.threadName, record.getMessage(), get("service"), get("trace_id"), get("region")))
        if len(self.rows) >= self.batch:
            self.flush()

    def flush(self):
        if self.rows:
            self.execute_values(self.cursor, INSERT, self.rows, template=ROW, page_size=self.batch)
            self.connection.commit()
            self.rows = []


class Client:
    def __init__(self, connection):
        self.connection, self.buffer = connection, b""

    def read(self, stores):
        """Reads until nothing is there; says whether the client has gone."""
        while True:
            try:
                data = self.connection.recv(1 << 16)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                return True
            if not data:
                return True
            self.buffer += data
            self.take(stores)

    def take(self, stores):
        start = 0
        while len(self.buffer) >= start + 4:
            end = start + 4 + struct.unpack_from(">L", self.buffer, start)[0]
            if len(self.buffer) < end:
                break
            record = logging.makeLogRecord(pickle.loads(self.buffer[start + 4:end]))
            for store in stores:
                store.add(record)
            start = end
        self.buffer = self.buffer[start:]


def serve(stores):
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    print("%s:%d" % listener.getsockname(), flush=True)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    epoll.register(sys.stdin, select.EPOLLIN)
    clients, flush_at, is_ending = {}, time.monotonic() + 1, False
    while True:
        events = epoll.poll(0 if is_ending else 1)
        if is_ending and not events and not clients:
            break
        for descriptor, _ in events:
            if descriptor == sys.stdin.fileno():
                epoll.unregister(sys.stdin)
                is_ending = True
                continue
            if descriptor == listener.fileno():
                connection, _ = listener.accept()
                connection.setblocking(False)
                epoll.register(connection, select.EPOLLIN | select.EPOLLET)
                clients[connection.fileno()] = Client(connection)
                continue
            if clients[descriptor].read(stores):
                clients.pop(descriptor).connection.close()
        if time.monotonic() >= flush_at:
            for store in stores:
                store.flush()
            flush_at = time.monotonic() + 1
    for store in stores:
        store.flush()


def main():
    kind, *database, path = sys.argv[1:]
    stores = [File(path)]
    if kind == "postgres":
        batch, url = database
        stores.append(Database(url, int(batch)))
    serve(stores)


main()
