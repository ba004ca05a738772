/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/reason.h"

#include <stddef.h>

const char *http_reason(int status)
{
	static const struct {
		int status;
		const char *words;
	} reasons[] = {
		{200,  "OK"		    },
		{ 201, "Created"		 },
		{ 202, "Accepted"		  },
		{ 204, "No Content"	    },
		{ 302, "Found"		       },
		{ 303, "See Other"		   },
		{ 304, "Not Modified"	      },
		{ 400, "Bad Request"	     },
		{ 401, "Unauthorized"	      },
		{ 403, "Forbidden"		   },
		{ 404, "Not Found"		   },
		{ 405, "Method Not Allowed"    },
		{ 406, "Not Acceptable"	},
		{ 409, "Conflict"		  },
		{ 410, "Gone"		      },
		{ 412, "Precondition Failed"   },
		{ 413, "Content Too Large"	   },
		{ 415, "Unsupported Media Type"},
		{ 422, "Unprocessable Content" },
		{ 428, "Precondition Required" },
		{ 429, "Too Many Requests"	   },
		{ 499, "Client Closed Request" },
		{ 500, "Internal Server Error" },
		{ 502, "Bad Gateway"	     },
		{ 503, "Service Unavailable"   },
		{ 504, "Gateway Timeout"	 },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].status == status)
			return reasons[i].words;
	}
	return status < 400 ? "OK" : "Error";
}
