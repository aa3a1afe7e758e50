// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/window/page_list.h"

#include <QCoreApplication>

#include <vector>

#if __has_include("widgets/pages/overview_page.h")
#include "widgets/pages/overview_page.h"
#define HAVE_OVERVIEW
#endif
#if __has_include("widgets/pages/layer_page.h")
#include "widgets/pages/layer_page.h"
#define HAVE_LAYER
#endif
#if __has_include("widgets/pages/sensitivity_page.h")
#include "widgets/pages/sensitivity_page.h"
#define HAVE_SENSITIVITY
#endif
#if __has_include("widgets/pages/trade_off_page.h")
#include "widgets/pages/trade_off_page.h"
#define HAVE_TRADE_OFF
#endif
#if __has_include("widgets/pages/savings_page.h")
#include "widgets/pages/savings_page.h"
#define HAVE_SAVINGS
#endif

namespace {

template<class Page>
QWidget* create(Workbench* workbench)
{
    return new Page(workbench);
}

[[maybe_unused]] QString title(const char* text)
{
    return QCoreApplication::translate("PageList", text);
}

}  // namespace

std::span<const PageEntry> pageList()
{
    static const std::vector<PageEntry> pages {
#ifdef HAVE_OVERVIEW
        {QStringLiteral("overview"), QStringLiteral("overview"), [] { return title("Overview"); },
            create<OverviewPage>},
#endif
#ifdef HAVE_LAYER
        {QStringLiteral("layer"), QStringLiteral("layer"), [] { return title("Layer"); }, create<LayerPage>},
#endif
#ifdef HAVE_SENSITIVITY
        {QStringLiteral("sensitivity"), QStringLiteral("sensitivity"), [] { return title("Sensitivity"); },
            create<SensitivityPage>},
#endif
#ifdef HAVE_TRADE_OFF
        {QStringLiteral("trade-off"), QStringLiteral("trade-off"), [] { return title("Trade-off"); },
            create<TradeOffPage>},
#endif
#ifdef HAVE_SAVINGS
        {QStringLiteral("savings"), QStringLiteral("savings"), [] { return title("Savings"); }, create<SavingsPage>},
#endif
    };
    return pages;
}
