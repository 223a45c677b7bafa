package io.vivarium.client;

/** Whether a server may act on a key. */
public final class KeyGrant {
    private final io.vivarium.v1.KeyGrant grant;

    KeyGrant(io.vivarium.v1.KeyGrant grant) {
        this.grant = grant;
    }

    public boolean granted() {
        return grant.getGranted();
    }

    /** By the epoch that the asking server acknowledged; empty if the ring was. */
    public String owner() {
        return grant.getOwner();
    }

    /**
     * Who else acts by an epoch that gives it the key: it has to acknowledge a later one, or its session to end,
     * first. Empty if nobody does.
     */
    public String holder() {
        return grant.getHolder();
    }

    public long holderEpoch() {
        return grant.getHolderEpoch();
    }
}
