#!/usr/bin/env python3
"""unpack-kernel.py BZIMAGE OUT: writes the ELF file inside a bzImage, which qemu starts (PVH) without unpacking it in the
guest: under emulation that saves seconds. The offsets are of the kernel's Documentation/arch/x86/boot.rst."""
import struct
import subprocess
import sys

image = open(sys.argv[1], "rb").read()
setup_sectors = image[0x1F1]
offset, length = struct.unpack_from("<I", image, 0x248)[0], struct.unpack_from("<I", image, 0x24C)[0]
payload = image[(setup_sectors + 1) * 512 + offset:][:length]
for magic, tool in ((b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x02!L\x18", "lz4"), (b"\x1f\x8b", "gzip")):
    if payload.startswith(magic):
        # Four bytes of size follow the stream, which the tools complain about after having written everything.
        payload = subprocess.run([tool, "-dc"], input=payload, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        break
if not payload.startswith(b"\x7fELF"):
    sys.exit(f"unpack-kernel: {sys.argv[1]}: no ELF file inside")
open(sys.argv[2], "wb").write(payload)
