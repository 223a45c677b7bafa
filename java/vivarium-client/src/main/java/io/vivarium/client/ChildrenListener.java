package io.vivarium.client;

import java.util.List;

/** Is told who is there: on a thread of its watch, one call at a time. */
@FunctionalInterface
public interface ChildrenListener {
    /**
     * Names that came, and names that are gone, in ascending order; no name is in both. At first all that are there came,
     * also where there are none. One that came and went in between is not told.
     */
    void changed(List<String> added, List<String> removed);

    /** Nothing is told any more, for another reason than {@link ChildrenWatch#close}. */
    default void ended(VivariumException why) {}
}
