package io.vivarium.client;

/**
 * Why the ensemble refused a call. The names are those of the protocol and do not change;
 * {@code docs/native-api.md} says when each is given.
 */
public enum Reason {
    /** One that this client does not know, from a later release; {@link VivariumException#reasonName()} has it. */
    UNSPECIFIED,
    INVALID_PATH,
    INVALID_ARGUMENT,
    VALUE_TOO_LARGE,
    INVALID_HEARTBEAT,
    BAD_CREDENTIALS,
    ACCESS_DENIED,
    NO_ENTRY,
    SESSION_EXPIRED,
    SESSION_MOVED,
    NOT_ATTACHED_HERE,
    VERSION_MISMATCH,
    KIND_MISMATCH,
    HAS_CHILDREN,
    PARENT_IS_SESSION_BOUND,
    STALE_FENCING_TOKEN,
    NOT_HOLDER,
    STALE_EPOCH,
    EMPTY_RING,
    NOT_CLAIMED_BY_YOU,
    ALREADY_REGISTERED,
    COMPACTED,
    FROM_THE_FUTURE,
    LIMIT_REACHED,
    QUOTA_EXCEEDED,
    NO_LEADER,
    SHUTTING_DOWN,
    FORMAT_NOT_AGREED,
    CONTENDED,
    INTERNAL;

    static Reason of(String name) {
        for (Reason reason : values()) {
            if (reason.name().equals(name)) {
                return reason;
            }
        }
        return UNSPECIFIED;
    }

    /** Whether the same call may come to something else, here or at another member. */
    boolean isPassing() {
        return this == NO_LEADER || this == SHUTTING_DOWN || this == FORMAT_NOT_AGREED
                || this == NOT_ATTACHED_HERE || this == SESSION_MOVED;
    }
}
