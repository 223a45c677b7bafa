package io.vivarium.testkit;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/** Keeps what a listener is told, and waits for it. */
public final class Recorder<T> {
    private final Function<T, String> words;
    private final List<String> told = new ArrayList<>();

    public Recorder(Function<T, String> words) {
        this.words = words;
    }

    public synchronized void tell(T what) {
        told.add(words.apply(what));
    }

    public synchronized List<String> all() {
        return new ArrayList<>(told);
    }

    /** Waits until exactly this has been told, in this order. */
    public void awaitExactly(String... expected) {
        Waiting.until(Arrays.toString(expected), this::all, () -> all().equals(Arrays.asList(expected)));
    }

    /** Waits until this was told, whatever else was. */
    public void await(String expected) {
        Waiting.until(expected, this::all, () -> all().contains(expected));
    }
}
