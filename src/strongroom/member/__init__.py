"""A member of a committee: holds parts of a key, and gives shares of results under it.

policy         what its operator allows, read from a file
channel        signed messages between coordinator, server and members; messages: their form
asking         one message to a member, and its answer, over HTTP
share_request  what a server brings: a query, its result, and the rows that it came from
shares         judging that, and giving the share
models         the packages whose results it answers
ledger         budget, counters and the log in one durable file; records, journal, counters and
               log_heads are its parts
witness        countersigning peers' logs, and noticing that one went back; peers carries that
setup_desk     taking part in making and refreshing a key; coordinating is the other end
seats          its committees
service        all of it over HTTP
serve          the process
"""
