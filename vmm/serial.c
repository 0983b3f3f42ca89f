/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/serial.h"

#include <string.h>

/* Registers of a 16550, and the bits we give a meaning. */
enum { DATA = 0, LINE_CONTROL = 3, LINE_STATUS = 5 };
enum { DIVISOR_ACCESS = 0x80, TRANSMITTER_EMPTY = 0x60 };

/* A chatty kernel says about 300 lines while it boots; more than this a second is noise, or an attack on the disk. */
enum { LINES_PER_SECOND = 500 };

void serial_init(struct serial *serial)
{
	*serial = (struct serial){ 0 };
	pthread_mutex_init(&serial->lock, NULL);
}

void serial_destroy(struct serial *serial)
{
	pthread_mutex_destroy(&serial->lock);
}

static void flush_line(struct serial *serial)
{
	if (serial->line_length && log_limit_allows(&serial->limit, LINES_PER_SECOND))
		log_guest(LOG_DEBUG, "console", serial->line, serial->line_length);
	serial->line_length = 0;
}

static void put_character(struct serial *serial, char c)
{
	serial->tail[serial->total++ % SERIAL_TAIL_SIZE] = c;
	if (c == '\r')
		return;
	if (c != '\n')
		serial->line[serial->line_length++] = c;
	if (c == '\n' || serial->line_length == SERIAL_LINE_SIZE)
		flush_line(serial);
}

uint8_t serial_read(struct serial *serial, unsigned offset)
{
	uint8_t value = 0;

	if (offset == LINE_STATUS)
		return TRANSMITTER_EMPTY;
	pthread_mutex_lock(&serial->lock);
	if (offset == LINE_CONTROL)
		value = serial->line_control;
	pthread_mutex_unlock(&serial->lock);
	return value;
}

void serial_write(struct serial *serial, unsigned offset, uint8_t value)
{
	pthread_mutex_lock(&serial->lock);
	if (offset == LINE_CONTROL)
		serial->line_control = value;
	else if (offset == DATA && !(serial->line_control & DIVISOR_ACCESS))
		put_character(serial, (char)value);
	pthread_mutex_unlock(&serial->lock);
}

size_t serial_tail(struct serial *serial, char out[SERIAL_TAIL_SIZE])
{
	size_t length, start;

	pthread_mutex_lock(&serial->lock);
	length = serial->total < SERIAL_TAIL_SIZE ? serial->total : SERIAL_TAIL_SIZE;
	start = (serial->total - length) % SERIAL_TAIL_SIZE;
	for (size_t i = 0; i < length; i++)
		out[i] = serial->tail[(start + i) % SERIAL_TAIL_SIZE];
	pthread_mutex_unlock(&serial->lock);
	return length;
}
