"""A collector of spans: takes OTLP over HTTP or gRPC by OpenTelemetry's own messages, and writes a line of JSON for each span.

otlp_receiver.py FILE [grpc] prints its port, and appends to FILE until it is killed.
"""
import http.server
import json
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def plain(attributes):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def take(request):
    with open(sys.argv[1], "a") as out:
        for resource in request.resource_spans:
            of = plain(resource.resource.attributes)
            for scope in resource.scope_spans:
                for span in scope.spans:
                    assert len(span.trace_id) == 16 and len(span.span_id) == 8
                    assert span.end_time_unix_nano >= span.start_time_unix_nano > 1_600_000_000_000_000_000
                    told = {
                        "resource": of,
                        "trace": span.trace_id.hex(),
                        "span": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "name": span.name,
                        "kind": Span.SpanKind.Name(span.kind),
                        "attributes": plain(span.attributes),
                        "error": span.status.message if span.status.code == 2 else None,
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                    }
                    out.write(json.dumps(told) + "\n")
    return ExportTraceServiceResponse()


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.path == "/v1/traces", self.path
        assert self.headers["content-type"] == "application/x-protobuf"
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        answer = take(request).SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def over_grpc():
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    export = grpc.unary_unary_rpc_method_handler(
        lambda request, _: take(request),
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(1))
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": export}),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


if sys.argv[2:] == ["grpc"]:
    over_grpc()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
print(server.server_address[1], flush=True)
server.serve_forever()
