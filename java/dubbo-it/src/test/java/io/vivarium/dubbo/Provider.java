package io.vivarium.dubbo;

/** A process that offers the service until it is killed. */
public final class Provider {
    private Provider() {}

    public static void main(String[] arguments) throws InterruptedException {
        Host.offering(arguments[0], arguments[1], Integer.parseInt(arguments[2]));
        System.out.println("offers");
        Thread.sleep(Long.MAX_VALUE);
    }
}
