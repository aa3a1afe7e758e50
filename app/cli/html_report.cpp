// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/html_report.h"

#include "widgets/report/html_report.h"

#include <QApplication>

namespace quantloupe::cli {

bool htmlReportsAreBuilt()
{
    return true;
}

Result<std::string> renderHtmlReport(const ReportDocument& document, const StudySnapshot& study)
{
    // The offscreen platform whatever the session offers: a report must not depend on a display, nor flash a window.
    qputenv("QT_QPA_PLATFORM", "offscreen");
    int count = 1;
    char name[] = "quantloupe-cli";
    char* arguments[] = {name, nullptr};
    const QApplication application(count, arguments);
    return renderHtml(document, study).toStdString();
}

}  // namespace quantloupe::cli
