// SPDX-License-Identifier: GPL-3.0-or-later
// The one thing of the command line that needs Qt's painting: HTML reports draw their figures by the window's plots.
#pragma once

#include "core/base/error.h"
#include "core/report/document.h"

#include <string>

namespace quantloupe::cli {

/// False in a program that was built without the window.
bool htmlReportsAreBuilt();

/// Draws offscreen: no display is needed. Errors: Unsupported where htmlReportsAreBuilt() is false.
Result<std::string> renderHtmlReport(const ReportDocument& document, const StudySnapshot& study);

}  // namespace quantloupe::cli
