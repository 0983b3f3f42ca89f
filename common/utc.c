/* SPDX-License-Identifier: Apache-2.0 */
#include "common/utc.h"

#include <inttypes.h>
#include <stdio.h>

enum { DAY = 86400, DAYS_OF_ERA = 146097 };

static int64_t divide_down(int64_t value, int64_t by)
{
	return value / by - (value % by < 0);
}

void utc_text(int64_t seconds, char out[UTC_TEXT_SIZE])
{
	int64_t days = divide_down(seconds, DAY), rest = seconds - days * DAY;
	/* Of years that begin in March, in eras of 400 years. */
	int64_t shifted = days + 719468, era = divide_down(shifted, DAYS_OF_ERA), day = shifted - era * DAYS_OF_ERA;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t of_year = day - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;

	snprintf(out, UTC_TEXT_SIZE, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d", year + era * 400 + (month >= 10),
		 (int)(month < 10 ? month + 3 : month - 9), (int)(of_year - (153 * month + 2) / 5 + 1),
		 (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
}
