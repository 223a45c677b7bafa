/**
 * A private registry beside a Java program: the vivarium server as a child process.
 *
 * <p>{@link io.vivarium.embedded.EmbeddedRegistryServer} finds the program, starts it as the only
 * member of an ensemble of its own on loopback, waits until it serves, passes its log on to SLF4J,
 * and stops it. A server never outlives the program that started it, however that ends: it stops
 * when its standard input does, and the system closes that pipe for a program that was killed, too.
 */
package io.vivarium.embedded;
