"""A statement by ADBC over Flight SQL whose calls carry a traceparent: traced_flight.py TRACEPARENT"""
import os
import sys

import adbc_driver_flightsql.dbapi as flight_sql
from adbc_driver_flightsql import ConnectionOptions

uri = "grpc://" + os.environ["FLIGHT"]
header = ConnectionOptions.RPC_CALL_HEADER_PREFIX.value + "traceparent"
with flight_sql.connect(uri, conn_kwargs={header: sys.argv[1]}, autocommit=True) as connection:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tags")
        assert cursor.fetchone()[0] >= 0
