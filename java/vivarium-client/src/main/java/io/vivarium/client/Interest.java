package io.vivarium.client;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What a subscriber of the change log wants to be told: begin with {@link #in}, and change what is to be different.
 * Without a start it is what happens from now on, and it may begin with what happened just before.
 */
public final class Interest {
    enum Start {
        NOW,
        AFTER,
        SUBSCRIBER,
        SNAPSHOT
    }

    final List<String> prefixes;
    Start start = Start.NOW;
    long after;
    String subscriber;
    boolean orSnapshot = true;

    private Interest(List<String> prefixes) {
        this.prefixes = prefixes;
    }

    /** 1 to 64 paths; each stands for itself and for all below it, by whole segments. */
    public static Interest in(String... prefixes) {
        return new Interest(new ArrayList<>(Arrays.asList(prefixes)));
    }

    /** All that happened after this zxid. */
    public Interest after(long zxid) {
        start = Start.AFTER;
        after = zxid;
        return this;
    }

    /**
     * What happened after what was acknowledged under this name ({@link Changes#acknowledge}); what is there now,
     * where nothing ever was. 256 characters at most.
     */
    public Interest subscriber(String name) {
        start = Start.SUBSCRIBER;
        subscriber = name;
        return this;
    }

    /** What is there now, and then what happens. */
    public Interest snapshot() {
        start = Start.SNAPSHOT;
        return this;
    }

    /**
     * Whether a start that is not kept any more is made up for with what is there now, as by default. Without, it
     * is {@link Reason#COMPACTED}, and so is the end of a stream that is left too far behind.
     */
    public Interest orSnapshot(boolean orSnapshot) {
        this.orSnapshot = orSnapshot;
        return this;
    }
}
