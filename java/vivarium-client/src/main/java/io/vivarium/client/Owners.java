package io.vivarium.client;

import java.util.Collections;
import java.util.List;

/** The owners of keys, all by one epoch. */
public final class Owners {
    private final long epoch;
    private final List<String> owners;

    Owners(long epoch, List<String> owners) {
        this.epoch = epoch;
        this.owners = Collections.unmodifiableList(owners);
    }

    public long epoch() {
        return epoch;
    }

    /** One for each key, in their order. */
    public List<String> owners() {
        return owners;
    }
}
