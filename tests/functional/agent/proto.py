# SPDX-License-Identifier: Apache-2.0
"""Just enough protobuf to speak the agent protocol: the schema is read from common/agent.proto, messages are dicts."""

import re
import struct


class Schema:
    """Messages of a .proto file: name -> {field: (number, type, repeated)}."""

    def __init__(self, path):
        self.messages = {}
        stack = []
        for line in open(path):
            line = line.split("//")[0].strip()
            opening = re.match(r"message (\w+) \{(\})?$", line)
            field = re.match(r"(repeated )?(\w+) (\w+) = (\d+);", line)
            if opening:
                stack.append(opening.group(1))
                self.messages[stack[-1]] = {}
                if opening.group(2):
                    stack.pop()
            elif line == "}":
                stack.pop()
            elif field and stack:
                self.messages[stack[-1]][field.group(3)] = (int(field.group(4)), field.group(2), bool(field.group(1)))

    def encode(self, name, value):
        out = b""
        for key, item in value.items():
            number, kind, repeated = self.messages[name][key]
            if repeated and kind in ("uint32", "uint64"):
                out += key_of(number, 2) + counted(b"".join(varint(i) for i in item))
            else:
                for one in item if repeated else [item]:
                    out += self.encode_field(number, kind, one)
        return out

    def encode_field(self, number, kind, value):
        if kind in self.messages:
            return key_of(number, 2) + counted(self.encode(kind, value))
        if kind == "string":
            return key_of(number, 2) + counted(value.encode())
        if kind == "bytes":
            return key_of(number, 2) + counted(value)
        return key_of(number, 0) + varint(int(value) & (2**64 - 1))

    def decode(self, name, data):
        fields = {v[0]: (k, v[1], v[2]) for k, v in self.messages[name].items()}
        out = {}
        at = 0
        while at < len(data):
            key, at = read_varint(data, at)
            field, kind, repeated = fields[key >> 3]
            if key & 7 == 0:
                value, at = read_varint(data, at)
                if kind.startswith("int") and value >= 2**63:
                    value -= 2**64
            else:
                length, at = read_varint(data, at)
                value = data[at : at + length]
                at += length
                if kind in self.messages:
                    value = self.decode(kind, value)
                elif kind == "string":
                    value = value.decode(errors="replace")
            if repeated:
                out.setdefault(field, []).append(value)
            else:
                out[field] = value
        return out


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def key_of(number, wire):
    return varint(number << 3 | wire)


def counted(data):
    return varint(len(data)) + data


HEADER = struct.Struct("<IHHI")
