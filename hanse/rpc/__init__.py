"""Between agents: gRPC that carries our own structs, as MessagePack.

There is one set of types (`hanse.rpc.messages`) and no generated code: a field added with a
default is understood by older and newer peers alike, as in the store.
"""
