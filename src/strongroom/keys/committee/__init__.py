"""Committees: keys that several members make together, and that nobody holds alone.

    access          whose consent decrypts: the parts of a key and their holders
    proposal        what key shall be made, by whom
    messages        what members say to each other: signed, chained, sealed where it is secret
    key_items       shares that keys are summed from, one item at a time
    setup_record    the public side of a setup, which everybody checks; setup, coordinator: the rest
    statement       what a committee is, signed by all of its members: `Committee`
    part_checks     what is public of the parts, against which shares are proved: `PartChecks`
    parts           a member's parts at rest: `MemberStore`, `HeldParts`
    folder          the collective keys on disk: `CommitteeKeys`
    refresh         new parts of the same key; refresh_record: its public side;
                    refresh_coordinator: its coordinator's

No network here: state machines take messages and give messages, and whoever carries them can't
alter them.
"""
