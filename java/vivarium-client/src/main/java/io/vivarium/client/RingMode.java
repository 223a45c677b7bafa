package io.vivarium.client;

/** How many points each server of a ring has. */
public enum RingMode {
    /** 131,072 each: the owners that StreamPark's ConsistentHash finds. */
    EQUAL(io.vivarium.v1.RingMode.RING_MODE_EQUAL),
    /** By the weight that the server tells ({@link NodeInfo#weight()}); 100 where it says nothing, 400 at most. */
    WEIGHTED(io.vivarium.v1.RingMode.RING_MODE_WEIGHTED);

    final io.vivarium.v1.RingMode message;

    RingMode(io.vivarium.v1.RingMode message) {
        this.message = message;
    }
}
