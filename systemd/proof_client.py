"""Uploads for prove_units.py, run in the network of its second system: proof_client.py TOKEN COUNT.

Sends COUNT pictures that are never alike and prints each answer, then half of one more, and waits to be
killed.
"""

import http.client
import io
import sys
import time

import numpy as np
from PIL import Image

BOUNDARY = "picture"


def body(number: int) -> bytes:
    """A multipart body with one picture of noise."""
    noise = np.random.default_rng([number, time.time_ns()]).integers(
        0, 255, (240, 320, 3), np.uint8
    )
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    head = f'Content-Disposition: form-data; name="image"; filename="{number}.png"'
    opening = f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode()
    return opening + file.getvalue() + f"\r\n--{BOUNDARY}--\r\n".encode()


def begin(token: str, size: int) -> http.client.HTTPConnection:
    """A request whose body of that size is still to be sent."""
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=60)
    connection.putrequest("POST", "/api/v1/counts")
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Length", str(size))
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.endheaders()
    return connection


def main() -> None:
    """Send them."""
    token, count = sys.argv[1], int(sys.argv[2])
    for number in range(count):
        data = body(number)
        connection = begin(token, len(data))
        connection.send(data)
        answer = connection.getresponse()
        print(answer.status, answer.read().decode(), flush=True)
    data = body(count)
    connection = begin(token, len(data))
    connection.send(data[: len(data) // 2])
    print("half", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()
