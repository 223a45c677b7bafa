/** The names of StreamPark's registry API that a registry plugin meets; the host brings the real ones. */
package org.apache.streampark.registry.api;
