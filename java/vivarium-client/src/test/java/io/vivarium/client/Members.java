package io.vivarium.client;

import io.vivarium.testkit.Ensemble;

/** Real members, and clients of them. */
public final class Members extends Ensemble {
    private Members(int number, String... settings) {
        super(number, settings);
    }

    public static Members start(int number, String... settings) {
        return new Members(number, settings);
    }

    public VivariumClient.Builder client() {
        return VivariumClient.builder().endpoints(endpoints());
    }
}
