/*
 * gather_call.c: the calls whose texts may be computed ahead.
 *
 * A text is a column, or an expression over columns that cannot fail: it is evaluated for rows that
 * nobody may ever ask for, and an error belongs to its row. So its functions are of a list.
 */
#include "pg/server/compat.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "pg/infer/gather.h"

/* --- Functions of ours --- */

const GatherFunction *
gather_function(Oid function)
{
	static const GatherFunction known[] = {
		{"bert_embed", gather_embed, 0, false},
		{"bert_embed_pinned", gather_embed_pinned, 0, false},
		{"bert_embed_query", gather_embed_query, 0, false},
		{"bert_embed_document", gather_embed_document, 0, false},
		{"bert_similarity", gather_similarity, 1, true},
		{"bert_classify", gather_classify, 2, false},
		{"bert_classify_pinned", gather_classify_pinned, 2, false},
		{"bert_label", gather_label, 2, false},
		{"bert_label_pinned", gather_label_pinned, 2, false},
		{"bert_labels", gather_labels, 2, false},
		{"bert_regress", gather_regress, 2, false},
		{"bert_regress_pinned", gather_regress_pinned, 2, false},
		{"bert_next_sentence", gather_next_sentence, 1, true}};
	const GatherFunction *found = NULL;
	HeapTuple tuple;

	if (function < FirstNormalObjectId)
		return NULL;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
		bool null;
		Datum symbol = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &null);

		if (form->prolang == ClanguageId && !null &&
			form->pronamespace == get_namespace_oid("bert", true))
		{
			const char *name = TextDatumGetCString(symbol);

			for (size_t i = 0; i < lengthof(known); i++)
				if (strcmp(name, known[i].symbol) == 0)
					found = &known[i];
		}
		ReleaseSysCache(tuple);
	}
	return found;
}

/* --- Expressions that cannot fail --- */

/* Every value of the type has a text. */
static bool
has_text(Oid type)
{
	static const Oid types[] = {BOOLOID,   INT2OID,    INT4OID,        INT8OID,     OIDOID,
								FLOAT4OID, FLOAT8OID,  NUMERICOID,     TEXTOID,     VARCHAROID,
								BPCHAROID, NAMEOID,    CHAROID,        UUIDOID,     DATEOID,
								TIMEOID,   TIMETZOID,  TIMESTAMPOID,   INTERVALOID, JSONOID,
								JSONBOID,  UNKNOWNOID, TIMESTAMPTZOID, CIDROID,     INETOID};
	Oid base = getBaseType(type);

	for (size_t i = 0; i < lengthof(types); i++)
		if (types[i] == base)
			return true;
	return get_typtype(base) == TYPTYPE_ENUM;
}

static bool
all_have_text(const List *arguments)
{
	ListCell *cell;

	foreach (cell, arguments)
		if (!has_text(exprType(lfirst(cell))))
			return false;
	return true;
}

/* An integer of the statement's text, no less than 0. */
static bool
is_count(const Node *node)
{
	return IsA(node, Const) && ((const Const *) node)->consttype == INT4OID &&
		   !((const Const *) node)->constisnull &&
		   DatumGetInt32(((const Const *) node)->constvalue) >= 0;
}

static bool
has_text_elements(const Node *array)
{
	Oid element = get_base_element_type(exprType(array));

	return OidIsValid(element) && has_text(element);
}

/* Functions that give a value for all arguments; some of them where there is a collation. */
static bool
is_total(Oid function, const List *arguments, Oid collation, bool variadic)
{
	switch (function)
	{
		case F_TEXTCAT:
		case F_LEFT:
		case F_RIGHT:
		case F_BTRIM_TEXT:
		case F_BTRIM_TEXT_TEXT:
		case F_LTRIM_TEXT:
		case F_LTRIM_TEXT_TEXT:
		case F_RTRIM_TEXT:
		case F_RTRIM_TEXT_TEXT:
		case F_TRANSLATE:
		case F_SUBSTR_TEXT_INT4:
		case F_SUBSTRING_TEXT_INT4:
		case F_TEXT_BPCHAR:
		case F_TEXT_NAME:
		case F_TEXT_CHAR:
		case F_TEXT_BOOL:
		case F_LENGTH_TEXT:
		case F_NOW:
		case F_JSONB_OBJECT_FIELD_TEXT:
		case F_INT4EQ:
		case F_INT4NE:
		case F_INT4LT:
		case F_INT4LE:
		case F_INT4GT:
		case F_INT4GE:
		case F_INT8EQ:
		case F_INT8NE:
		case F_BOOLEQ:
			return true;
		case F_LOWER_TEXT:
		case F_UPPER_TEXT:
		case F_INITCAP:
		case F_REPLACE:
		case F_TEXTEQ:
		case F_TEXTNE:
			return OidIsValid(collation) && get_collation_isdeterministic(collation);
		case F_SUBSTR_TEXT_INT4_INT4:
		case F_SUBSTRING_TEXT_INT4_INT4:
			return is_count(lthird(arguments));
		case F_CONCAT:
		case F_CONCAT_WS:
			return !variadic && all_have_text(arguments);
		case F_ARRAY_TO_STRING_ANYARRAY_TEXT:
			return has_text_elements(linitial(arguments));
		default:
			return false;
	}
}

static bool
may_fail(Node *node, void *has_column)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
			*(bool *) has_column = true;
			return ((Var *) node)->varattno <= 0;
		case T_Param:
			return ((Param *) node)->paramkind != PARAM_EXTERN;
		case T_FuncExpr:
			if (!is_total(((FuncExpr *) node)->funcid, ((FuncExpr *) node)->args,
						  ((FuncExpr *) node)->inputcollid, ((FuncExpr *) node)->funcvariadic))
				return true;
			break;
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			if (!is_total(((OpExpr *) node)->opfuncid, ((OpExpr *) node)->args,
						  ((OpExpr *) node)->inputcollid, false))
				return true;
			break;
		case T_CoerceViaIO:
			if (((CoerceViaIO *) node)->resulttype != TEXTOID ||
				!has_text(exprType((Node *) ((CoerceViaIO *) node)->arg)))
				return true;
			break;
		case T_NullTest:
			if (((NullTest *) node)->argisrow)
				return true;
			break;
		case T_List:
		case T_Const:
		case T_RelabelType:
		case T_BoolExpr:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CaseTestExpr:
		case T_CoalesceExpr:
			break;
		default:
			return true;
	}
	return expression_tree_walker(node, may_fail, has_column);
}

/* --- Calls --- */

/* All that is no text is known before the rows are. */
static bool
is_call(const FuncExpr *call)
{
	const GatherFunction *function = call->args == NIL ? NULL : gather_function(call->funcid);
	bool has_column = false;
	int i = 0;
	ListCell *cell;

	if (function == NULL)
		return false;
	foreach (cell, call->args)
	{
		Node *argument = lfirst(cell);
		bool text = i == 0 || (function->pair > 0 && i == function->pair);

		i++;
		if (text ? may_fail(argument, &has_column)
				 : !IsA(argument, Const) &&
					   !(IsA(argument, Param) && ((Param *) argument)->paramkind == PARAM_EXTERN))
			return false;
	}
	return has_column;
}

/* What is evaluated of a branching expression, whatever the row; NULL: not one of these. */
static List *
always_evaluated(Node *node)
{
	const CaseExpr *choice = (CaseExpr *) node;

	switch (nodeTag(node))
	{
		case T_CaseExpr:
			return list_make2(choice->arg, linitial_node(CaseWhen, choice->args)->expr);
		case T_CoalesceExpr:
			return list_make1(linitial(((CoalesceExpr *) node)->args));
		case T_BoolExpr:
			return list_make1(linitial(((BoolExpr *) node)->args));
		default:
			return NIL;
	}
}

bool
gather_find_calls(Node *node, List **calls)
{
	List *always;

	if (node == NULL || IsA(node, SubPlan) || IsA(node, AlternativeSubPlan))
		return false;
	if (IsA(node, Aggref) && ((Aggref *) node)->aggfilter != NULL)
		return false;
	always = always_evaluated(node);
	if (always != NIL)
		return gather_find_calls((Node *) always, calls);
	if (IsA(node, FuncExpr) && is_call((FuncExpr *) node))
		*calls = lappend(*calls, node);
	return expression_tree_walker(node, gather_find_calls, calls);
}
