package io.vivarium.client;

/** Who has a lock, or waits for it. */
public final class LockPlace {
    private final io.vivarium.v1.LockPlace place;

    LockPlace(io.vivarium.v1.LockPlace place) {
        this.place = place;
    }

    public long sessionId() {
        return place.getSessionId();
    }

    /** Empty where another kind of client took the place. */
    public String owner() {
        return place.getOwner();
    }

    public LockMode mode() {
        return LockMode.of(place.getMode());
    }

    public boolean holds() {
        return place.getHolds();
    }

    public long token() {
        return place.getToken();
    }

    /** Milliseconds since 1970, by the leader's clock. */
    public long sinceMs() {
        return place.getSinceMs();
    }
}
