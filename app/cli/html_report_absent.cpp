// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/html_report.h"

namespace quantloupe::cli {

bool htmlReportsAreBuilt()
{
    return false;
}

Result<std::string> renderHtmlReport(const ReportDocument&, const StudySnapshot&)
{
    return failure(ErrorCode::Unsupported, "HTML report", "this program was built without the window");
}

}  // namespace quantloupe::cli
