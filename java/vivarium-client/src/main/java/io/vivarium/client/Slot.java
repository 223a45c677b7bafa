package io.vivarium.client;

/** The share of work of one server: the pieces whose number modulo {@link #total} is {@link #slot}. */
public final class Slot {
    private final long epoch;
    private final int slot;
    private final int total;

    Slot(long epoch, int slot, int total) {
        this.epoch = epoch;
        this.slot = slot;
        this.total = total;
    }

    public long epoch() {
        return epoch;
    }

    /** From 0. */
    public int slot() {
        return slot;
    }

    public int total() {
        return total;
    }
}
