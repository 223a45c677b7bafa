/** The registry plugin of StreamPark. */
package io.vivarium.streampark;
