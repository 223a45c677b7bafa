package io.vivarium.client;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Which transactions of the change log are looked for, by path and time. Begin with {@link #in}. */
public final class ChangeQuery {
    final List<String> prefixes;
    Long fromMs;
    Long toMs;
    int pageSize;

    private ChangeQuery(List<String> prefixes) {
        this.prefixes = prefixes;
    }

    /** 1 to 64 paths; each stands for itself and for all below it. */
    public static ChangeQuery in(String... prefixes) {
        return new ChangeQuery(new ArrayList<>(Arrays.asList(prefixes)));
    }

    /** From this moment on, it included, in milliseconds since 1970 by the leaders' clocks. */
    public ChangeQuery fromMs(long fromMs) {
        this.fromMs = fromMs;
        return this;
    }

    /** Up to this moment, it included, in milliseconds since 1970 by the leaders' clocks. */
    public ChangeQuery toMs(long toMs) {
        this.toMs = toMs;
        return this;
    }

    /** Transactions of one page, 1 to 1,000; 100 by default. */
    public ChangeQuery pageSize(int pageSize) {
        this.pageSize = pageSize;
        return this;
    }
}
