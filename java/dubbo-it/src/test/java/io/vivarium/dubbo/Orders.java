package io.vivarium.dubbo;

/** A service. */
public interface Orders {
    /** The name of whoever took it. */
    String place(String what);
}
