"""The key broker: releases file keys to processes that prove what they are.

policy     what the owner demands, read from a file
release    what the broker signs: who may serve which package, until when, and why
exchange   the messages of an exchange, and the serving process's side of it
nonces     challenges, each good for one attempt
shelf      packages that are granted to the broker, of which it reads no payload
decision   one request for a key: everything that must hold, then the release
service    the two requests over HTTP
serve      the process
"""
