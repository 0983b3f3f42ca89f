#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cri.py - speaks the Container Runtime Interface to containerd, as a kubelet does.

    cri.py SOCKET      answers one JSON request a connection, until the peer shuts down its side (socat); starting Python
                       is slow, so it is done once

A request is {"method": "RunPodSandbox", "request": {...}}, a reply what the method returns, both as protobuf's JSON
mapping with the names of the interface's fields; an error is {"error": TEXT}. Which methods and
messages there are containerd itself says: every Go program carries the descriptors of its messages, compressed.
"""
import json
import os
import socket
import sys
import threading
import zlib

ENGINE = os.environ.get("CRI_ENGINE", "/run/containerd/containerd.sock")
PACKAGE = b"runtime.v1"
TIMEOUT = float(os.environ.get("CRI_TIMEOUT", "240"))


def find_descriptor(program):
    """The FileDescriptorProto of the CRI in the program's data."""
    with open(program, "rb") as file:
        data = file.read()
    at = 0
    while True:
        at = data.find(b"\x1f\x8b\x08", at)
        if at < 0:
            raise SystemExit(f"cri.py: {program} holds no description of {PACKAGE.decode()}")
        try:
            text = zlib.decompressobj(31).decompress(data[at:at + 500000])
        except zlib.error:
            text = b""
        if text.startswith(b"\n\tapi.proto\x12" + bytes([len(PACKAGE)]) + PACKAGE + b"\x1a"):
            return text
        at += 1


def load_services(program):
    """{method: (path, request class, reply class)} of all services."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto.FromString(find_descriptor(program))
    del file.dependency[:]  # the extensions they define are for generators
    file.ClearField("options")
    for message in file.message_type:
        if not message.options.map_entry:
            message.ClearField("options")
        for field in message.field:
            field.ClearField("options")
    for enum in file.enum_type:
        enum.ClearField("options")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    methods = {}
    for service in file.service:
        for method in service.method:
            if method.server_streaming:
                continue
            methods[method.name] = (
                f"/{file.package}.{service.name}/{method.name}",
                factory.GetPrototype(pool.FindMessageTypeByName(method.input_type[1:])),
                factory.GetPrototype(pool.FindMessageTypeByName(method.output_type[1:])),
            )
    return methods


def answer(channel, methods, text):
    import grpc
    from google.protobuf import json_format

    try:
        asked = json.loads(text)
        path, request, reply = methods[asked["method"]]
        message = json_format.ParseDict(asked.get("request", {}), request())
        call = channel.unary_unary(path, request_serializer=request.SerializeToString,
                                   response_deserializer=reply.FromString)
        # An engine that is being restarted is waited for.
        result = call(message, timeout=TIMEOUT, wait_for_ready=True)
        return json_format.MessageToDict(result, preserving_proto_field_name=True)
    except grpc.RpcError as error:
        return {"error": error.details()}
    except Exception as error:  # a wrong request of a test: say it there
        return {"error": f"cri.py: {type(error).__name__}: {error}"}


def serve(path):
    import grpc

    methods = load_services("/usr/bin/containerd")
    channel = grpc.insecure_channel(f"unix://{ENGINE}", options=[("grpc.max_reconnect_backoff_ms", 1000)])
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)

    def attend(connection):
        with connection, connection.makefile("rwb") as stream:
            reply = answer(channel, methods, stream.read())
            stream.write(json.dumps(reply).encode() + b"\n")

    while True:
        threading.Thread(target=attend, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    serve(sys.argv[1])
