"""A connection through libpq, so that nothing but the server and its own client library is
measured.
"""

import ctypes


class Connection:
    def __init__(self, library="libpq.so.5"):
        self.pq = ctypes.CDLL(library)
        for name, result, arguments in (
            ("PQconnectdb", ctypes.c_void_p, [ctypes.c_char_p]),
            ("PQstatus", ctypes.c_int, [ctypes.c_void_p]),
            ("PQerrorMessage", ctypes.c_char_p, [ctypes.c_void_p]),
            ("PQfinish", None, [ctypes.c_void_p]),
            ("PQexec", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]),
            (
                "PQexecParams",
                ctypes.c_void_p,
                [
                    ctypes.c_void_p,
                    ctypes.c_char_p,
                    ctypes.c_int,
                    ctypes.c_void_p,
                    ctypes.POINTER(ctypes.c_char_p),
                    ctypes.c_void_p,
                    ctypes.c_void_p,
                    ctypes.c_int,
                ],
            ),
            ("PQresultStatus", ctypes.c_int, [ctypes.c_void_p]),
            ("PQclear", None, [ctypes.c_void_p]),
            ("PQntuples", ctypes.c_int, [ctypes.c_void_p]),
            ("PQnfields", ctypes.c_int, [ctypes.c_void_p]),
            ("PQgetisnull", ctypes.c_int, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]),
            ("PQgetvalue", ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]),
        ):
            function = getattr(self.pq, name)
            function.restype, function.argtypes = result, arguments
        # The place comes from PGHOST, PGPORT, PGUSER and PGDATABASE.
        self.connection = self.pq.PQconnectdb(b"")
        if self.pq.PQstatus(self.connection) != 0:
            raise RuntimeError(self.pq.PQerrorMessage(self.connection).decode())

    def run(self, sql, *values):
        """Executes and fetches all rows; returns the result's handle, to be given to rows() or
        clear().
        """
        if values:
            texts = (ctypes.c_char_p * len(values))(
                *[None if v is None else str(v).encode() for v in values]
            )
            result = self.pq.PQexecParams(
                self.connection, sql.encode(), len(values), None, texts, None, None, 0
            )
        else:
            result = self.pq.PQexec(self.connection, sql.encode())
        if self.pq.PQresultStatus(result) not in (1, 2):
            message = self.pq.PQerrorMessage(self.connection).decode()
            self.pq.PQclear(result)
            raise RuntimeError(f"{message.strip()}\nin: {sql[:300]}")
        return result

    def clear(self, result):
        self.pq.PQclear(result)

    def rows(self, sql, *values):
        result = self.run(sql, *values)
        rows = [
            [
                (
                    None
                    if self.pq.PQgetisnull(result, i, j)
                    else self.pq.PQgetvalue(result, i, j).decode()
                )
                for j in range(self.pq.PQnfields(result))
            ]
            for i in range(self.pq.PQntuples(result))
        ]
        self.pq.PQclear(result)
        return rows

    def do(self, sql, *values):
        self.pq.PQclear(self.run(sql, *values))

    def close(self):
        self.pq.PQfinish(self.connection)
