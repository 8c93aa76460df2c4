"""Refusals as the large providers document them, with example addresses."""

from __future__ import annotations

# support.google.com/a/answer/3726730, smtp.codes, smtpfieldmanual.com, help.yahoo.com SLN3436,
# Microsoft's postmaster pages, postfix and postgrey.
BLOCKS = [
    ("421 4.7.0 Our system has detected an unusual rate of unsolicited mail originating from your "
     "IP address. To protect our users from spam, mail sent from your IP address has been "
     "temporarily blocked."),
    ("421 4.7.28 [203.0.113.5] Our system has detected an unusual rate of unsolicited mail "
     "originating from your IP address. 4.7.28 Please visit our Bulk Email Senders Guidelines."),
    "550 5.7.26 This mail has been blocked because the sender is unauthenticated.",
    "550-5.7.1 Our system has detected that this message is likely unsolicited mail.",
    ("550 5.7.1 Unfortunately, messages from [203.0.113.5] weren't sent. Please contact your "
     "Internet service provider since part of their network is on our block list (S3150)."),
    ("550 SC-001 (BAY004-MC4F49) Unfortunately, messages from 203.0.113.5 weren't sent. Please "
     "contact your Internet service provider since part of their network is on our block list."),
    "550 5.7.606 Access denied, banned sending IP [203.0.113.5].",
    ("550 5.7.515 Access denied, sending domain example.com does not meet the required "
     "authentication level."),
    ("451 4.7.650 The mail server [203.0.113.5] has been temporarily rate limited due to IP "
     "reputation."),
    ("421 4.7.0 [TSS04] Messages from 203.0.113.5 temporarily deferred due to unexpected volume or "
     "user complaints - 4.16.55.1"),
    "421 4.7.1 [TS03] All messages from 203.0.113.5 will be permanently deferred",
    "553 5.7.1 [BL21] Connections will not be accepted from 203.0.113.5",
    "554 5.7.9 Message not accepted for policy reasons.",
    "550 5.7.1 [CS01] Message rejected due to local policy.",
    "451 4.7.1 Service unavailable - try again later",
    ("550 5.7.1 Connections not accepted from servers without a valid sender domain. Fix reverse "
     "DNS for 203.0.113.5"),
    "554 5.7.1 Service unavailable; Client host [203.0.113.5] blocked using zen.spamhaus.org",
    "554 Service unavailable; Client host [203.0.113.5] blocked using bl.spamcop.net",
    "550 Blocked",
    "550 5.0.0 Your IP has a poor reputation",
    "552 message rejected by anti-spam engine.",
    "554 rbl deny.",
    "554 Email rejected due to security policies",
]  # fmt: skip

OTHERS = [
    "550 5.1.1 The email account that you tried to reach does not exist.",
    "550 cuda_nsu 5.1.1 <(address)> Recipient address rejected: User unknown",
    "550 No such user (address)",
    "550 antispam.example.com: (address) user unknown",
    "550 5.2.1 This mailbox is blocked",
    "525 5.7.13 User account disabled",
    "550 5.7.17 Mailbox owner has changed",
    ("450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents "
     "additional messages from being delivered."),
    "452 4.2.2 The recipient's inbox is out of storage space.",
    ("552 5.2.2 This message is larger than the current system limit or the recipient's mailbox is "
     "full."),
    "552 5.3.4 Message size exceeds what our policy allows",
    "421 4.3.0 Temporary System Problem. Try again later",
    "421 4.7.0 Temporary System Problem. Try again later.",
    "421 4.4.5 Server busy, try again later.",
    ("450 4.7.1 <(address)>: Recipient address rejected: Greylisted, see "
     "http://postgrey.example/help"),
    "451 4.7.1 Greylisting in action, please come back later",
    "550 5.5.1 garbled command",
    "250 2.0.0 OK, past our spam policy",
    "the connection is closed: blocked",
    "",
]  # fmt: skip
