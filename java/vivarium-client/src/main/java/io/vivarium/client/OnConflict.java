package io.vivarium.client;

/** What becomes of an entry that is there already and belongs to another session. */
public enum OnConflict {
    /** It is taken over if an earlier run of the same client registered it; ALREADY_REGISTERED otherwise. */
    TAKE_OVER_OWN,
    /** ALREADY_REGISTERED, whoever has it, the caller included. */
    FAIL,
    /** It is taken over from whoever has it. */
    TAKE_OVER
}
