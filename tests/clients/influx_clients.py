"""InfluxDB's own clients, Prometheus' parser and plain HTTP against the HTTP door (address in HTTP)."""

import datetime
import io
import json
import os
import urllib.error
import urllib.request

import influxdb
import influxdb_client
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from prometheus_client.parser import text_string_to_metric_families

ADDRESS = os.environ["HTTP"]
HOST, PORT = ADDRESS.rsplit(":", 1)


def ask(sql, accept="application/json", params=None):
    body = json.dumps({"sql": sql, "params": params or []}).encode()
    headers = {"Content-Type": "application/json", "Accept": accept}
    request = urllib.request.Request(f"http://{ADDRESS}/query", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def rows(sql, params=None):
    return json.loads(ask(sql, params=params))["rows"]


def version_1():
    client = influxdb.InfluxDBClient(host=HOST, port=int(PORT), database="plant")
    assert client.ping() == "1.8.10"
    client.create_database("plant")
    assert {"name": "meridian"} in client.get_list_database()
    points = [
        {
            "measurement": "one point,eight",
            "tags": {"site": "a b", "unit": "x=1,y"},
            "time": datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, datetime.timezone.utc),
            "fields": {"value": 1.25, "count": 7, "ok": True, "note": 'say "hi"\\ there'},
        }
    ]
    assert client.write_points(points)
    name = r"one\ point\,eight,site=a\ b,unit=x\=1\,y"
    assert rows("SELECT time, value FROM samples WHERE tag = $1", [f"{name} value"]) == [["2026-01-02T03:04:05.678901Z", 1.25]]
    assert rows("SELECT value FROM samples WHERE tag = $1", [f"{name} count"]) == [[7]]
    assert rows("SELECT text FROM events WHERE tag = $1", [f"{name} note"]) == [['say "hi"\\ there']]
    assert rows("SELECT label($1, 'site'), label($1, '_measurement')", [f"{name} ok"]) == [["a b", "one point,eight"]]
    assert client.write_points(points * 3, time_precision="ms", batch_size=2)
    try:
        client.write_points([{"measurement": "one point,eight", "tags": points[0]["tags"], "fields": {"value": "text"}}])
        raise AssertionError("a conflict was taken")
    except influxdb.exceptions.InfluxDBClientError as error:
        assert error.code == 400 and "field type conflict" in error.content, error.content


def version_2():
    with influxdb_client.InfluxDBClient(url=f"http://{ADDRESS}", token="any", org="o", timeout=60_000, enable_gzip=True) as client:
        assert client.ping()
        assert client.health().status == "pass"
        assert client.ready().status == "ready"
        writer = client.write_api(write_options=SYNCHRONOUS)
        moment = datetime.datetime(2026, 5, 6, 7, 8, 9, tzinfo=datetime.timezone.utc)
        point = influxdb_client.Point("turbine").tag("unit", "u1").field("rpm", 3000.5).field("starts", 12).field("on", True)
        writer.write(bucket="b", record=point.time(moment))
        writer.write(bucket="b", record=[f"turbine,unit=u{n} rpm={n}.5 {n}" for n in range(2000)], write_precision="ms")
        assert rows("SELECT value FROM samples WHERE tag = 'turbine,unit=u1 rpm' ORDER BY time") == [[1.5], [3000.5]]
        assert rows("SELECT count(*) FROM tags WHERE name LIKE 'turbine,%rpm'") == [[2000]]
        try:
            writer.write(bucket="b", record="turbine,unit=u1 rpm=1i\nturbine,unit=u1 rpm=7 9000000")
            raise AssertionError("a conflict was taken")
        except ApiException as error:
            assert error.status == 400 and "line 1: field type conflict" in error.message, error.message
        assert rows("SELECT count(*) FROM samples WHERE tag = 'turbine,unit=u1 rpm' AND value = 7") == [[1]]
        batching = client.write_api()
        for n in range(5000):
            batching.write(bucket="b", record=f"batched v={n} {n}000000")
        batching.close()
        assert rows("SELECT count(*), max(value) FROM samples WHERE tag = 'batched v'") == [[5000, 4999]]


def arrow():
    import duckdb
    import pyarrow.ipc

    stream = ask("SELECT tag, time, value FROM samples WHERE tag LIKE 'turbine%'", "application/vnd.apache.arrow.stream")
    found = pyarrow.ipc.open_stream(io.BytesIO(stream)).read_all()
    assert found.num_rows == rows("SELECT count(*) FROM samples WHERE tag LIKE 'turbine%'")[0][0]
    assert duckdb.sql("SELECT count(DISTINCT tag) FROM found").fetchall()[0][0] >= 2000


def metrics():
    with urllib.request.urlopen(f"http://{ADDRESS}/metrics", timeout=60) as answer:
        families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
    assert families["meridian_lines"].type == "counter"
    assert families["meridian_lines"].samples[0].value > 7000
    assert families["meridian_commit_seconds"].type == "histogram"
    assert all(name.startswith("meridian_") for name in families)


def errors():
    try:
        ask("SELECT * FROM nowhere")
        raise AssertionError("it was answered")
    except urllib.error.HTTPError as error:
        found = json.loads(error.read())["error"]
        assert error.code == 400 and found["sqlstate"] == "42P01" and found["position"] == 15, found


version_1()
version_2()
arrow()
metrics()
errors()
print("ok")
